package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each statement is one that a shared connection may carry (the fake refuses to prepare and to begin), has a
// deadline, names its table in full, takes no time from this machine and no pattern.
func TestStatements(t *testing.T) {
	s, fake := newFake(t, Config{Table: `Some "schema".my_table`, Keys: []Key{{ID: "k", Secret: secretOf(1)}}}, nil)
	every(t, s)
	calls := fake.seen()
	require.Greater(t, len(calls), 14)
	for _, c := range calls {
		assert.True(t, c.timed, "no deadline: %s", c.statement)
		assert.Contains(t, c.statement, `"Some ""schema"""."my_table`)
		assert.NotContains(t, c.statement, "{", "a name was not put in")
		assert.NotContains(t, strings.ToUpper(c.statement), "LIKE")
		assert.NotContains(t, c.statement, "example.com", "a value is part of the statement")
		for _, word := range []string{"now()", "current_timestamp", "advisory", "LISTEN", "SET LOCAL", "BEGIN"} {
			assert.NotContains(t, c.statement, word)
		}
		for _, arg := range c.args {
			_, clock := arg.(time.Time)
			assert.False(t, clock, "this machine's clock: %s", c.statement)
		}
	}
}

// Every statement about a lock names its token, and the same one until the lock is given back.
func TestToken(t *testing.T) {
	s, fake := newFake(t, Config{}, nil)
	for range 2 {
		every(t, s)
	}
	tokens := make(map[any]int)
	for _, c := range fake.seen() {
		if strings.Contains(c.statement, "_locks") && !strings.Contains(c.statement, "WHERE false") {
			assert.Contains(t, c.statement, "token")
			tokens[tokenOf(t, c.args)]++
		}
	}
	require.Len(t, tokens, 2, "each lock has a token of its own")
	for token, n := range tokens {
		assert.GreaterOrEqual(t, len(token.(string)), 26, "a token that can be guessed")
		assert.Equal(t, 5, n, "acquire, store, delete, renew, release")
	}
}

// tokenOf finds the argument that looks like a token.
func tokenOf(t *testing.T, args []any) any {
	t.Helper()
	for _, arg := range args {
		if text, ok := arg.(string); ok && len(text) == 26 && strings.ToUpper(text) == text {
			return arg
		}
	}
	require.Fail(t, "no token", "%v", args)
	return nil
}

func TestRetry(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: errors.New("connection reset")}
	for _, test := range []struct {
		err  error
		want int // attempts, when the third would succeed
	}{
		{driver.ErrBadConn, 3},
		{fmt.Errorf("wrapped: %w", io.ErrUnexpectedEOF), 3},
		{io.EOF, 3},
		{reset, 3},
		{net.ErrClosed, 3},
		{stateError("57P01"), 3},
		{stateError("57P03"), 3},
		{stateError("08006"), 3},
		{stateError("40001"), 3},
		{stateError("53300"), 3},
		{errors.Join(reset, stateError("28P01")), 1}, // the server has spoken: wrong password
		{stateError("25006"), 1},
		{stateError("42501"), 1},
		{stateError("57014"), 1},
		{errors.New("something else"), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			s, _ := newFake(t, Config{}, func(_ context.Context, statement string, _ []any) (reply, error) {
				if !strings.HasPrefix(statement, "INSERT") {
					return reply{}, nil
				}
				attempts++
				if attempts < 3 {
					return reply{}, test.err
				}
				return reply{changed: 1}, nil
			})
			err := s.Store(t.Context(), "k", nil)
			// database/sql itself makes two more attempts where the driver says that nothing was sent.
			if test.err == driver.ErrBadConn {
				assert.GreaterOrEqual(t, attempts, 3)
			} else {
				assert.Equal(t, test.want, attempts, "%v", test.err)
			}
			assert.Equal(t, test.want == 1, err != nil, "%v: %v", test.err, err)
			if err != nil {
				assert.ErrorIs(t, err, test.err)
				assert.ErrorContains(t, err, `sqlstore: storing "k": `)
			}
			require.NoError(t, s.cfg.DB.Close())
		})
	}
}

// A server that never comes back is given up on after Timeout, not before, and a context that ends is obeyed at once.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Config{Timeout: 7 * time.Second}, func(context.Context, string, []any) (reply, error) {
			return reply{}, stateError("57P03")
		})
		started := time.Now()
		_, err := s.Load(t.Context(), "k")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorIs(t, err, stateError("57P03"))
		assert.NotErrorIs(t, err, fs.ErrNotExist)
		assert.Equal(t, 7*time.Second, time.Since(started))

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started = time.Now()
		assert.ErrorIs(t, s.Lock(short, "l"), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(started))
		require.NoError(t, s.cfg.DB.Close())
	})
}

// What a driver says when a context ends need not mention the context.
func TestDriversOwnWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Config{Timeout: time.Second}, func(ctx context.Context, _ string, _ []any) (reply, error) {
			<-ctx.Done()
			return reply{}, stateError("57014") // canceling statement due to user request
		})
		_, err := s.Stat(t.Context(), "k")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, s.cfg.DB.Close())
	})
}

// While one call looks for the tables, others end with their own contexts.
func TestWaitForTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fake := newFake(t, Config{}, func(_ context.Context, statement string, _ []any) (reply, error) {
			if strings.Contains(statement, "WHERE false") {
				time.Sleep(5 * time.Second)
			}
			return reply{changed: 1}, nil
		})
		go s.Store(t.Context(), "a", nil)
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		assert.ErrorIs(t, s.Store(short, "b", nil), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(started))
		assert.NoError(t, s.Store(t.Context(), "c", nil))
		assert.Equal(t, 2, fake.count("SELECT"), "the tables were looked for twice")
		require.NoError(t, s.cfg.DB.Close())
	})
}

// No tables are made where they are there, or where it is not known.
func TestCreate(t *testing.T) {
	absent := true
	answer := func(_ context.Context, statement string, _ []any) (reply, error) {
		switch {
		case strings.HasPrefix(statement, "CREATE"):
			absent = false
			return reply{}, stateError("42501")
		case strings.HasPrefix(statement, "SELECT") && absent:
			return reply{}, stateError("42P01")
		}
		return reply{changed: 1}, nil
	}
	s, fake := newFake(t, Config{}, answer)
	assert.NoError(t, s.Store(t.Context(), "k", nil), "somebody else created them in that moment")
	assert.Equal(t, 2, fake.count("CREATE"))
	assert.NoError(t, s.Store(t.Context(), "k", nil))
	assert.Equal(t, 2, fake.count("CREATE"))

	s, fake = newFake(t, Config{}, func(context.Context, string, []any) (reply, error) { return reply{}, stateError("42501") })
	assert.ErrorIs(t, s.Store(t.Context(), "k", nil), stateError("42501"))
	assert.Zero(t, fake.count("CREATE"))

	absent = true
	s, fake = newFake(t, Config{NoCreate: true}, answer)
	assert.ErrorContains(t, s.Store(t.Context(), "k", nil), "NoCreate")
	assert.Zero(t, fake.count("CREATE"))
}

func TestString(t *testing.T) {
	s, _ := newFake(t, Config{Table: "certs.shop"}, nil)
	assert.Equal(t, "sqlstore:certs.shop", fmt.Sprint(s))
}

// Methods refuse what is no key before they use the database.
func TestKeysAreChecked(t *testing.T) {
	s, fake := newFake(t, Config{}, nil)
	for _, key := range []string{"/a", "a/", "a//b", "../a", "a/./b", "a\x00", "\xff", strings.Repeat("a", maxName+1)} {
		_, err := s.Load(t.Context(), key)
		assert.ErrorIs(t, err, fs.ErrInvalid)
		assert.Less(t, len(err.Error()), 1100)
		assert.ErrorIs(t, s.Store(t.Context(), key, nil), fs.ErrInvalid)
		assert.ErrorIs(t, s.Delete(t.Context(), key), fs.ErrInvalid)
		_, err = s.Stat(t.Context(), key)
		assert.ErrorIs(t, err, fs.ErrInvalid)
		_, err = s.List(t.Context(), key, false)
		assert.ErrorIs(t, err, fs.ErrInvalid)
		assert.False(t, s.Exists(t.Context(), key))
	}
	for _, name := range []string{"", "a\x00", "\xff", strings.Repeat("a", maxName+1)} {
		assert.ErrorIs(t, s.Lock(t.Context(), name), fs.ErrInvalid)
		_, err := s.TryLock(t.Context(), name)
		assert.ErrorIs(t, err, fs.ErrInvalid)
	}
	assert.ErrorIs(t, s.Delete(t.Context(), ""), fs.ErrInvalid, "everything would be gone")
	assert.Empty(t, fake.seen())
}

// FuzzBelow asks that the bounds hold exactly the keys in a directory.
func FuzzBelow(f *testing.F) {
	for _, pair := range [][2]string{{"a", "a/b"}, {"a", "a0"}, {"a", "a"}, {"a", "a/"}, {"", "x"}, {"a%", "a%/\U0010ffff"}, {"a", "a/0"}, {"ä", "ä/x"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, dir, key string) {
		from, to := below(dir)
		inside := key >= from && (to == "" || key < to)
		if want := dir == "" || strings.HasPrefix(key, dir+"/"); inside != want {
			t.Errorf("%q in %q: %v", key, dir, inside)
		}
	})
}
