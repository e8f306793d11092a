package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeDB answers statements as a test says, and remembers them.
type fakeDB struct {
	answer func(ctx context.Context, statement string, args []any) (reply, error)

	mu    sync.Mutex
	calls []call
}

// A call is one statement that arrived.
type call struct {
	statement string
	args      []any
	timed     bool // it had a deadline
}

// A reply is what a statement does or yields.
type reply struct {
	changed int64
	row     []driver.Value // nil: no rows
}

// newFake returns a Store over a database that changes one row with each statement, unless the test says otherwise.
func newFake(t *testing.T, cfg Config, answer func(context.Context, string, []any) (reply, error)) (*Store, *fakeDB) {
	t.Helper()
	fake := &fakeDB{answer: answer}
	cfg.DB = sql.OpenDB(fake)
	t.Cleanup(func() { cfg.DB.Close() })
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	store, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return store, fake
}

// count is how many statements began with a word.
func (f *fakeDB) count(verb string) (n int) {
	for _, c := range f.seen() {
		if strings.HasPrefix(c.statement, verb) {
			n++
		}
	}
	return n
}

func (f *fakeDB) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

func (f *fakeDB) run(ctx context.Context, statement string, named []driver.NamedValue) (reply, error) {
	args := make([]any, len(named))
	for i, n := range named {
		args[i] = n.Value
	}
	_, timed := ctx.Deadline()
	f.mu.Lock()
	f.calls = append(f.calls, call{statement, args, timed})
	f.mu.Unlock()
	if f.answer == nil {
		return reply{changed: 1}, nil
	}
	return f.answer(ctx, statement, args)
}

func (f *fakeDB) Connect(context.Context) (driver.Conn, error) { return fakeConn{f}, nil }
func (f *fakeDB) Driver() driver.Driver                        { return nil }

type fakeConn struct{ db *fakeDB }

func (fakeConn) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("a statement was prepared")
}
func (fakeConn) Begin() (driver.Tx, error) { return nil, errors.New("a transaction was begun") }
func (fakeConn) Close() error              { return nil }

func (c fakeConn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	r, err := c.db.run(ctx, statement, args)
	return driver.RowsAffected(r.changed), err
}

func (c fakeConn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	r, err := c.db.run(ctx, statement, args)
	if err != nil {
		return nil, err
	}
	return &fakeRows{row: r.row}, nil
}

type fakeRows struct{ row []driver.Value }

func (r *fakeRows) Columns() []string { return make([]string, len(r.row)) }
func (r *fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(into []driver.Value) error {
	if r.row == nil {
		return io.EOF
	}
	copy(into, r.row)
	r.row = nil
	return nil
}

// A stateError is a server's error as pgx and lib/pq hand it on.
type stateError string

func (e stateError) Error() string    { return "the server says " + string(e) }
func (e stateError) SQLState() string { return string(e) }

// every calls each method once.
func every(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	const key = "certificates/ca/example.com/example.com.key"
	_ = s.Store(ctx, key, []byte("v"))
	_, _ = s.Load(ctx, key)
	_ = s.Exists(ctx, key)
	_, _ = s.Stat(ctx, key)
	_, _ = s.List(ctx, "certificates", true)
	_, _ = s.List(ctx, "certificates", false)
	_ = s.Delete(ctx, key)
	_, _ = s.Reseal(ctx)
	if err := s.Lock(ctx, "issue_cert_example.com"); err != nil {
		t.Fatal(err)
	}
	_ = s.Store(ctx, key, []byte("v"))
	_ = s.Delete(ctx, key)
	_ = s.RenewLockLease(ctx, "issue_cert_example.com", time.Hour)
	_ = s.Unlock(ctx, "issue_cert_example.com")
}
