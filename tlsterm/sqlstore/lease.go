package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// A lease is a lock that this process has been granted.
type lease struct {
	name, token string
	site        string // the certificate that the lock is about, as part of a key; "" if none
	cancel      context.CancelFunc
	done        chan struct{} // closed when nobody renews it any more
}

// issueLock begins the names of the locks under which certmagic obtains and
// renews certificates.
const issueLock = "issue_cert_"

func newLease(name, token string) *lease {
	l := &lease{name: name, token: token, done: make(chan struct{})}
	if subject, ok := strings.CutPrefix(name, issueLock); ok {
		l.site = certmagic.StorageKeys.Safe(subject)
	}
	return l
}

// guards reports whether the lease is for the certificate that key belongs to:
// "certificates/<authority>/<site>/…". No part of a key is empty, so a lease
// without site guards nothing.
func (l *lease) guards(key string) bool {
	parts := strings.SplitN(key, "/", 4)
	return len(parts) >= 3 && parts[0] == "certificates" && parts[2] == l.site
}

// guard returns the lease that writing key depends on, nil if there is none.
func (s *Store) guard(key string) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sl := range s.slots {
		if sl.lease != nil && sl.lease.guards(key) {
			return sl.lease
		}
	}
	return nil
}

const (
	// acquireToken also succeeds if the token is ours already: an attempt whose
	// answer was lost can be repeated. The clock is read when the row is ours to
	// change, not when the statement began.
	acquireToken = `INSERT INTO {locks} AS l (name, token, holder, acquired, expires)
		VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp() + $4::bigint * interval '1 microsecond')
		ON CONFLICT (name) DO UPDATE SET token = excluded.token, holder = excluded.holder,
			acquired = CASE WHEN l.token = excluded.token THEN l.acquired ELSE clock_timestamp() END,
			expires = clock_timestamp() + $4::bigint * interval '1 microsecond'
		WHERE l.token = excluded.token OR l.expires <= clock_timestamp()`

	renewToken = `UPDATE {locks} SET expires = clock_timestamp() + $3::bigint * interval '1 microsecond' WHERE name = $1 AND token = $2`

	releaseToken = `DELETE FROM {locks} WHERE name = $1 AND token = $2`

	// tokenRow selects the row of a lock; with FOR SHARE behind, nobody replaces the
	// token before the rest of the statement is done.
	tokenRow    = `SELECT 1 FROM {locks} WHERE `
	heldByToken = `WITH held AS (` + tokenRow + `name = $1 AND token = $2 FOR SHARE) `
)

// acquire asks once for the lease.
func (s *Store) acquire(ctx context.Context, l *lease) (bool, error) {
	changed, err := s.exec(ctx, acquireToken, l.name, l.token, s.cfg.Holder, s.cfg.Lease.Microseconds())
	return changed == 1, err
}

// release gives the lease back. After an attempt whose answer was lost, that
// there is nothing to delete means that it had succeeded.
func (s *Store) release(ctx context.Context, l *lease) error {
	attempts := 0
	var changed int64
	err := s.do(ctx, func(ctx context.Context) error {
		attempts++
		result, err := s.cfg.DB.ExecContext(ctx, s.table.sql(releaseToken), l.name, l.token)
		if err != nil {
			return err
		}
		changed, err = result.RowsAffected()
		return err
	})
	if err == nil && changed == 0 && attempts == 1 {
		return ErrLeaseLost
	}
	return err
}

// start makes a granted lease known and has it renewed.
func (s *Store) start(l *lease) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	s.mu.Lock()
	s.slots[l.name].lease = l
	s.mu.Unlock()
	go s.keep(ctx, l)
}

// stop is the reverse of start. It waits until no renewal is under way; nil if
// the lock is not held.
func (s *Store) stop(name string) *lease {
	s.mu.Lock()
	sl := s.slots[name]
	if sl == nil || sl.lease == nil {
		s.mu.Unlock()
		return nil
	}
	l := sl.lease
	sl.lease = nil
	s.mu.Unlock()
	l.cancel()
	<-l.done
	return l
}

// keep renews a lease three times as often as needed, and more often while it
// fails, until it is stopped. It goes on after the lease was lost, because
// RenewLockLease may get it back.
func (s *Store) keep(ctx context.Context, l *lease) {
	defer close(l.done)
	var last error
	pause := s.cfg.Lease / 4
	for sleep(ctx, pause+jitter(pause)/6) {
		err := s.renew(ctx, l)
		if ctx.Err() != nil {
			return
		}
		s.report(l, last, err)
		last = err
		pause = s.cfg.Lease / 4
		if err != nil {
			pause = s.cfg.Lease / 12
		}
	}
}

// renew asks once for more time; a lease that is about to end cannot wait for long.
func (s *Store) renew(ctx context.Context, l *lease) error {
	ctx, cancel := context.WithTimeout(ctx, max(s.cfg.Lease/3, 500*time.Millisecond))
	defer cancel()
	result, err := s.cfg.DB.ExecContext(ctx, s.table.sql(renewToken), l.name, l.token, s.cfg.Lease.Microseconds())
	if err != nil {
		return err
	}
	if changed, err := result.RowsAffected(); err != nil || changed == 1 {
		return err
	}
	return ErrLeaseLost
}

// report logs what has changed since the last renewal, once.
func (s *Store) report(l *lease, last, now error) {
	lost := errors.Is(now, ErrLeaseLost)
	log := s.cfg.Logger.With("lock", l.name, "table", s.table.name)
	switch {
	case lost && !errors.Is(last, ErrLeaseLost):
		log.Error("sqlstore: another process has taken over the lock", "holder", s.holderOf(l.name))
	case now != nil && last == nil:
		log.Warn("sqlstore: the lease of a lock cannot be renewed", "lease", s.cfg.Lease, "error", now)
	case now == nil && last != nil:
		log.Info("sqlstore: the lease of a lock is renewed again")
	}
}

// holderOf names who has a lock now, for people.
func (s *Store) holderOf(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), abandonTime)
	defer cancel()
	var holder string
	err := s.cfg.DB.QueryRowContext(ctx, s.table.sql(`SELECT holder FROM {locks} WHERE name = $1`), name).Scan(&holder)
	if errors.Is(err, sql.ErrNoRows) {
		return "nobody any more"
	}
	return holder
}
