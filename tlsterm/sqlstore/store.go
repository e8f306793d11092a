package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
)

// A Store is a certmagic.Storage. Make it with New. It is safe for concurrent
// use, and has nothing to close: while it holds no lock it has no goroutine.
type Store struct {
	cfg    Config
	table  table
	sealer sealer

	ready    atomic.Bool   // the tables are there
	creating chan struct{} // full while somebody looks for them

	mu    sync.Mutex
	slots map[string]*slot // by name of lock
}

var (
	_ certmagic.Storage          = (*Store)(nil)
	_ certmagic.TryLocker        = (*Store)(nil)
	_ certmagic.LockLeaseRenewer = (*Store)(nil)
)

// New checks cfg and reads the Keys. It does not use the database; the tables
// are created when first needed. The error is a ConfigErrors.
func New(cfg Config) (*Store, error) {
	cfg.Keys = append([]Key(nil), cfg.Keys...)
	t, sealer, err := cfg.compile()
	if err != nil {
		return nil, err
	}
	return &Store{
		cfg: cfg, table: t, sealer: sealer,
		creating: make(chan struct{}, 1),
		slots:    make(map[string]*slot),
	}, nil
}

// String names the table; certmagic's log lines show it.
func (s *Store) String() string { return "sqlstore:" + s.table.name }

// do runs a call's statement, and makes the tables before the first one. What
// failed with the connection is tried again until Config.Timeout has passed, so
// a statement must not mind being carried out twice.
func (s *Store) do(ctx context.Context, statement func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err := retry(ctx, func() error {
		if err := s.ensure(ctx); err != nil {
			return err
		}
		return statement(ctx)
	})
	if ended := ctx.Err(); err != nil && ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err) // the driver's words alone may not tell
	}
	return err
}

// exec is do for a statement without rows. It returns how many it changed.
func (s *Store) exec(ctx context.Context, statement string, args ...any) (changed int64, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		result, err := s.cfg.DB.ExecContext(ctx, s.table.sql(statement), args...)
		if err != nil {
			return err
		}
		changed, err = result.RowsAffected()
		return err
	})
	return changed, err
}

// row is do for a statement with one row. Without one the error is sql.ErrNoRows.
func (s *Store) row(ctx context.Context, into []any, statement string, args ...any) error {
	return s.do(ctx, func(ctx context.Context) error {
		return s.cfg.DB.QueryRowContext(ctx, s.table.sql(statement), args...).Scan(into...)
	})
}

// texts is do for a statement with rows of one text each.
func (s *Store) texts(ctx context.Context, statement string, args ...any) (list []string, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		rows, err := s.cfg.DB.QueryContext(ctx, s.table.sql(statement), args...)
		if err != nil {
			return err
		}
		list, err = scanTexts(rows)
		return err
	})
	return list, err
}

func scanTexts(rows *sql.Rows) (list []string, err error) {
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// failed says what was tried on what. It does not wrap nil.
func failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlstore: %s %.200q: %w", what, name, err)
}
