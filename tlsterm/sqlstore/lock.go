package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

var (
	// ErrLeaseLost says that somebody else has, or has had, the lock: the holder
	// did not renew it for Config.Lease. Nothing was changed.
	ErrLeaseLost = errors.New("the lease of the lock was lost")

	// ErrNotHeld says that this Store does not hold the lock at all.
	ErrNotHeld = errors.New("the lock is not held")
)

// A slot is the turn of one goroutine of this process for a lock. It keeps
// others here from asking the database, and from taking over what a holder has
// lost before that holder knows: Unlock names no holder.
type slot struct {
	turn  chan struct{} // full while somebody has the turn
	users int           // those who have the turn or wait for it
	lease *lease        // nil until the database has granted it
}

// Lock waits until it gets the lock or the context ends. It is renewed in the
// background until Unlock, whatever becomes of the context.
func (s *Store) Lock(ctx context.Context, name string) error {
	_, err := s.lock(ctx, name, true)
	return failed("locking", name, err)
}

// TryLock reports whether it got the lock; it does not wait for a holder.
func (s *Store) TryLock(ctx context.Context, name string) (bool, error) {
	got, err := s.lock(ctx, name, false)
	return got, failed("locking", name, err)
}

func (s *Store) lock(ctx context.Context, name string, wait bool) (bool, error) {
	if why := badText(name); why != "" {
		return false, fmt.Errorf("%s: %w", why, fs.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if got, err := s.enter(ctx, name, wait); !got {
		return false, err
	}
	l := newLease(name, rand.Text())
	got, err := s.ask(ctx, l, wait)
	if !got {
		s.leave(name)
		return false, err
	}
	s.start(l)
	return true, nil
}

// ask tries to get the lease, again and again if it is to wait.
func (s *Store) ask(ctx context.Context, l *lease, wait bool) (bool, error) {
	for {
		got, err := s.acquire(ctx, l)
		if err != nil {
			s.abandon(ctx, l)
		}
		if got || err != nil || !wait {
			return got, err
		}
		if !sleep(ctx, jitter(s.cfg.Poll)) {
			return false, ctx.Err()
		}
	}
}

// abandonTime bounds how long a caller who gave up waits for the answer.
const abandonTime = time.Second

// abandon gives back what an attempt that failed may have got all the same: it
// was sent, but its answer did not come. If that fails, the lease ends by itself.
func (s *Store) abandon(ctx context.Context, l *lease) {
	if !s.ready.Load() {
		return // no statement has been sent
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	_, _ = s.cfg.DB.ExecContext(ctx, s.table.sql(releaseToken), l.name, l.token)
}

// Unlock gives the lock back, also after the end of the context. If the lease
// was lost the error is [ErrLeaseLost], and whoever has the lock keeps it; if
// the database could not be reached, the lease ends by itself after
// Config.Lease. In every case this Store no longer holds the lock, and its
// goroutine is gone.
func (s *Store) Unlock(ctx context.Context, name string) error {
	l := s.stop(name)
	if l == nil {
		return failed("unlocking", name, ErrNotHeld)
	}
	defer s.leave(name)
	return failed("unlocking", name, s.release(context.WithoutCancel(ctx), l))
}

// RenewLockLease renews the lease of a lock that this Store holds, which certmagic asks
// for before each attempt to obtain a certificate. If it was lost and
// the lock is free, it is taken again: after this call certmagic looks anew
// whether there is work left. Otherwise the error is [ErrLeaseLost].
//
// The duration is not used: the lease is renewed in the background for as long
// as the process lives, and a killed one must not keep the lock for hours.
func (s *Store) RenewLockLease(ctx context.Context, name string, _ time.Duration) error {
	l := s.leaseOf(name)
	if l == nil {
		return failed("renewing", name, ErrNotHeld)
	}
	got, err := s.acquire(ctx, l)
	if err == nil && !got {
		err = ErrLeaseLost
	}
	return failed("renewing", name, err)
}

// enter gets this process's turn for a lock.
func (s *Store) enter(ctx context.Context, name string, wait bool) (bool, error) {
	s.mu.Lock()
	sl := s.slots[name]
	if sl == nil {
		sl = &slot{turn: make(chan struct{}, 1)}
		s.slots[name] = sl
	}
	sl.users++
	s.mu.Unlock()
	select {
	case sl.turn <- struct{}{}:
		return true, nil
	default:
	}
	if wait {
		select {
		case sl.turn <- struct{}{}:
			return true, nil
		case <-ctx.Done():
		}
	}
	s.forget(name)
	return false, ctx.Err()
}

// leave gives the turn to the next.
func (s *Store) leave(name string) {
	s.mu.Lock()
	<-s.slots[name].turn
	s.mu.Unlock()
	s.forget(name)
}

func (s *Store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.slots[name]
	if sl.users--; sl.users == 0 {
		delete(s.slots, name)
	}
}

func (s *Store) leaseOf(name string) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl := s.slots[name]; sl != nil {
		return sl.lease
	}
	return nil
}
