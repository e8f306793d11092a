package sqlstore

import (
	"bytes"
	"context"
	"database/sql/driver"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slots counts those who have or want a lock.
func slots(s *Store) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.slots)
}

// A lock is renewed three times per lease while it is held, and nothing runs any more after Unlock: the bubble ends
// only when every goroutine has.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fake := newFake(t, Config{Lease: 30 * time.Second}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, s.Lock(ctx, "a"))
		require.NoError(t, s.Lock(ctx, "b"))
		cancel() // what becomes of the job does not matter
		time.Sleep(5 * time.Minute)
		n := fake.count("UPDATE")
		assert.GreaterOrEqual(t, n, 2*30, "in each lease at least two attempts may fail")
		assert.LessOrEqual(t, n, 2*41)
		for _, c := range fake.seen() {
			if strings.HasPrefix(c.statement, "UPDATE") {
				assert.True(t, c.timed)
				assert.Contains(t, c.statement, "WHERE name = $1 AND token = $2")
				assert.Equal(t, s.leaseOf(c.args[0].(string)).token, c.args[1])
			}
		}
		require.NoError(t, s.Unlock(ctx, "a"))
		require.NoError(t, s.Unlock(ctx, "b"))
		n = fake.count("UPDATE")
		time.Sleep(5 * time.Minute)
		assert.Equal(t, n, fake.count("UPDATE"), "somebody still renews")
		assert.Equal(t, 2, fake.count("DELETE"))
		assert.Zero(t, slots(s))
		require.NoError(t, s.cfg.DB.Close())
	})
}

// A renewal that gets no answer leaves time for another before the lease ends, and Unlock waits until it is over: it
// must not bring back what is being given up.
func TestHangingRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hanging, most atomic.Int32
		s, fake := newFake(t, Config{Lease: 30 * time.Second}, func(ctx context.Context, statement string, _ []any) (reply, error) {
			switch {
			case strings.HasPrefix(statement, "UPDATE"):
				most.Store(max(most.Load(), hanging.Add(1)))
				<-ctx.Done()
				time.Sleep(time.Second) // the driver closes the connection
				hanging.Add(-1)
				return reply{}, ctx.Err()
			case strings.HasPrefix(statement, "DELETE"):
				assert.Zero(t, hanging.Load(), "a renewal was under way")
			}
			return reply{changed: 1}, nil
		})
		require.NoError(t, s.Lock(t.Context(), "a"))
		time.Sleep(30 * time.Second)
		assert.GreaterOrEqual(t, fake.count("UPDATE"), 2)
		for hanging.Load() == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		require.NoError(t, s.Unlock(t.Context(), "a"))
		assert.EqualValues(t, 1, most.Load())
		require.NoError(t, s.cfg.DB.Close())
	})
}

// Others of the same process wait for their turn without asking the database.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fake := newFake(t, Config{}, nil)
		require.NoError(t, s.Lock(t.Context(), "a"))
		asked := fake.count("INSERT")
		got, err := s.TryLock(t.Context(), "a")
		assert.NoError(t, err)
		assert.False(t, got)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, s.Lock(short, "a"), context.DeadlineExceeded)
		var inside atomic.Int32
		for range 5 {
			go func() {
				assert.NoError(t, s.Lock(t.Context(), "a"))
				assert.EqualValues(t, 1, inside.Add(1))
				time.Sleep(time.Second)
				inside.Add(-1)
				assert.NoError(t, s.Unlock(t.Context(), "a"))
			}()
		}
		synctest.Wait()
		assert.Equal(t, asked, fake.count("INSERT"))
		require.NoError(t, s.Unlock(t.Context(), "a"))
		time.Sleep(10 * time.Second)
		assert.Equal(t, asked+5, fake.count("INSERT"))
		assert.Zero(t, slots(s))
		assert.ErrorIs(t, s.Unlock(t.Context(), "a"), ErrNotHeld)
		got, err = s.TryLock(t.Context(), "a")
		require.NoError(t, err)
		assert.True(t, got)
		require.NoError(t, s.Unlock(t.Context(), "a"))
		require.NoError(t, s.cfg.DB.Close())
	})
}

// Who waits for another process asks about once per Poll, not in step with others, and stops with the context.
func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, fake := newFake(t, Config{Poll: time.Second}, func(context.Context, string, []any) (reply, error) { return reply{}, nil })
		short, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		started := time.Now()
		assert.ErrorIs(t, s.Lock(short, "a"), context.DeadlineExceeded)
		assert.Equal(t, 100*time.Second, time.Since(started))
		assert.InDelta(t, 100, fake.count("INSERT"), 35)
		assert.Zero(t, fake.count("DELETE"), "what was not got is given back")
		got, err := s.TryLock(t.Context(), "a")
		assert.NoError(t, err)
		assert.False(t, got)
		assert.Zero(t, slots(s))
		require.NoError(t, s.cfg.DB.Close())
	})
}

// An attempt whose answer was lost may have succeeded: Lock repeats it with the same token, and gives back what it may
// have got when it gives up; Unlock that finds nothing the second time was carried out the first time.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lose atomic.Int32
		s, fake := newFake(t, Config{Timeout: 2 * time.Second}, func(_ context.Context, statement string, _ []any) (reply, error) {
			if !strings.HasPrefix(statement, "SELECT") && lose.Add(-1) >= 0 {
				return reply{}, io.ErrUnexpectedEOF
			}
			if strings.HasPrefix(statement, "DELETE") {
				return reply{}, nil
			}
			return reply{changed: 1}, nil
		})
		lose.Store(1)
		require.NoError(t, s.Lock(t.Context(), "a"))
		inserts := fake.seen()[2:]
		require.Len(t, inserts, 2)
		assert.Equal(t, inserts[0], inserts[1])

		lose.Store(1)
		assert.NoError(t, s.Unlock(t.Context(), "a"))
		require.NoError(t, s.Lock(t.Context(), "a"))
		assert.ErrorIs(t, s.Unlock(t.Context(), "a"), ErrLeaseLost)

		lose.Store(1000)
		before := fake.count("DELETE")
		assert.ErrorIs(t, s.Lock(t.Context(), "a"), context.DeadlineExceeded)
		assert.Equal(t, before+1, fake.count("DELETE"))
		assert.Zero(t, slots(s))
		require.NoError(t, s.cfg.DB.Close())
	})
}

// Trouble with a lease is said once when it begins and once when it ends, not with each attempt.
func TestLeaseLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var state atomic.Pointer[reply]
		s, _ := newFake(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(_ context.Context, statement string, _ []any) (reply, error) {
			if strings.HasPrefix(statement, "SELECT holder") {
				return reply{row: []driver.Value{"elsewhere:42"}}, nil
			}
			if r := state.Load(); r != nil && strings.HasPrefix(statement, "UPDATE") {
				if r.changed < 0 {
					return reply{}, io.EOF
				}
				return *r, nil
			}
			return reply{changed: 1}, nil
		})
		require.NoError(t, s.Lock(t.Context(), "a"))
		for _, stage := range []struct {
			changed int64
			want    string
		}{{-1, "cannot be renewed"}, {1, "renewed again"}, {0, "taken over"}, {1, "renewed again"}} {
			log.Reset()
			state.Store(&reply{changed: stage.changed})
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
			assert.Contains(t, log.String(), stage.want)
			assert.Equal(t, stage.changed == 0, strings.Contains(log.String(), "elsewhere:42"))
		}
		require.NoError(t, s.Unlock(t.Context(), "a"))
		require.NoError(t, s.cfg.DB.Close())
	})
}

// Which values depend on a lock is told by certmagic's names.
func TestGuards(t *testing.T) {
	for _, test := range []struct {
		lock, key string
		want      bool
	}{
		{"issue_cert_example.com", "certificates/ca/example.com/example.com.crt", true},
		{"issue_cert_example.com", "certificates/ca/example.com", true},
		{"issue_cert_Example.COM", "certificates/other-ca/example.com/x", true},
		{"issue_cert_*.example.com", "certificates/ca/wildcard_.example.com/x", true},
		{"issue_cert_2001:db8::1", "certificates/ca/2001-db8--1/x", true},
		{"issue_cert_example.com", "certificates/ca/www.example.com/x", false},
		{"issue_cert_example.com", "certificates/ca", false},
		{"issue_cert_example.com", "acme/ca/example.com/x", false},
		{"issue_cert_example.com", "certificates/example.com/x", false},
		{"issue_cert_", "certificates/ca/x", false},
		{"storage_clean", "certificates/ca/example.com/x", false},
		{"ari_example.com", "certificates/ca/example.com/x", false},
	} {
		assert.Equal(t, test.want, newLease(test.lock, "").guards(test.key), "%s, %s", test.lock, test.key)
	}
}
