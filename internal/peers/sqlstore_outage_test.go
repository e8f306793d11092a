//go:build linux

package peers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

// busy keeps several goroutines storing and loading until the end of during. Nothing may fail, and nothing stored may
// be forgotten.
func busy(t *testing.T, store *sqlstore.Store, during func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key, want := fmt.Sprintf("busy/%d/%d", w, i%3), fmt.Sprint(i)
				if !assert.NoError(t, store.Store(t.Context(), key, []byte(want))) {
					return
				}
				got, err := store.Load(t.Context(), key)
				if !assert.NoError(t, err) || !assert.Equal(t, want, string(got)) {
					return
				}
				assert.True(t, store.Exists(t.Context(), key))
				time.Sleep(time.Millisecond)
			}
		})
	}
	during()
	stop()
	all.Wait()
}

// Connections that the server drops in the middle of statements are nobody's concern.
func testSQLStoreLostConnections(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		t.Run(driver, func(t *testing.T) {
			database := pg.newDatabase(t)
			store := newSQLStore(t, pg.open(t, driver, database, ""), nil)
			require.NoError(t, store.Lock(t.Context(), "held"))
			busy(t, store, func() {
				for range 20 {
					time.Sleep(30 * time.Millisecond)
					pg.exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+database+`'`)
				}
			})
			require.NoError(t, store.Unlock(t.Context(), "held"))
		})
	}
}

// The server goes and comes back, properly and not, while values are written and a lock is held.
func testSQLStoreRestarts(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
			t.Run(driver+"/"+sig.String(), func(t *testing.T) {
				database := pg.newDatabase(t)
				store := newSQLStore(t, pg.open(t, driver, database, ""), nil)
				other := newSQLStore(t, pg.open(t, driver, database, ""), nil)
				require.NoError(t, store.Lock(t.Context(), siteLock))
				waiting := make(chan error, 1)
				go func() { waiting <- other.Lock(t.Context(), siteLock) }()
				busy(t, store, func() {
					time.Sleep(100 * time.Millisecond)
					pg.stop(t, sig)
					pg.start(t)
					time.Sleep(100 * time.Millisecond)
				})
				require.NoError(t, <-unlocked(t, store, waiting))
				require.NoError(t, other.Unlock(t.Context(), siteLock))
			})
		}
	}
}

// unlocked gives the lock to who waits for it. After an outage longer than the lease, the waiter may have it already;
// then the holder is told so.
func unlocked(t *testing.T, store *sqlstore.Store, waiting chan error) chan error {
	t.Helper()
	select {
	case err := <-waiting:
		require.NoError(t, err)
		require.ErrorIs(t, store.Store(t.Context(), siteKey, nil), sqlstore.ErrLeaseLost)
		require.ErrorIs(t, store.Unlock(t.Context(), siteLock), sqlstore.ErrLeaseLost)
		waiting <- nil
	default:
		require.NoError(t, store.Store(t.Context(), siteKey, nil))
		require.NoError(t, store.Unlock(t.Context(), siteLock))
	}
	return waiting
}

// While the server is gone, everything ends with an error in time, Unlock too, and nothing is taken for missing. A lock
// whose lease has run out meanwhile is still its holder's if nobody has replaced it.
func testSQLStoreOutage(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		t.Run(driver, func(t *testing.T) {
			database := pg.newDatabase(t)
			withPassword := strings.Replace(pg.url(database), "postgres@", "postgres:sesame@", 1)
			store := newSQLStore(t, openSQL(t, driver, withPassword), func(cfg *sqlstore.Config) {
				cfg.Timeout, cfg.Lease = 300*time.Millisecond, time.Second
			})
			require.NoError(t, store.Store(t.Context(), "a/b", []byte("c")))
			require.NoError(t, store.Lock(t.Context(), "kept"))
			require.NoError(t, store.Lock(t.Context(), "given back"))
			pg.stop(t, syscall.SIGINT)
			_, err := store.Load(t.Context(), "a/b")
			assert.Error(t, err)
			assert.NotErrorIs(t, err, os.ErrNotExist)
			assert.NotContains(t, err.Error(), "sesame")
			assert.Error(t, store.Store(t.Context(), "a/b", nil))
			assert.Error(t, store.Lock(t.Context(), "another"))
			assert.Error(t, store.Unlock(t.Context(), "given back"))
			assert.ErrorIs(t, store.Unlock(t.Context(), "given back"), sqlstore.ErrNotHeld)
			time.Sleep(1200 * time.Millisecond)
			pg.start(t)

			other := newSQLStore(t, pg.open(t, driver, database, ""), nil)
			require.NoError(t, other.Lock(t.Context(), "given back"))
			require.NoError(t, other.Unlock(t.Context(), "given back"))
			require.NoError(t, store.Unlock(t.Context(), "kept"))
		})
	}
}

// Through PgBouncer in transaction mode each statement may reach another connection of the server.
func testSQLStorePgBouncer(t *testing.T, pg *postgresServer) {
	path := findPeer(t, "pgbouncer")
	database := pg.newDatabase(t)
	addr := freeAddrs(t, 1)[0]
	_, port, _ := strings.Cut(addr, ":")
	_, pgPort, _ := strings.Cut(pg.addr, ":")
	config := filepath.Join(pg.dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(config, []byte(`[databases]
* = host=127.0.0.1 port=`+pgPort+` user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = `+port+`
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 100
`), 0o644))
	p := pg.run(t, pg.command(path, config))
	t.Cleanup(func() { p.stop(t, []string{addr}) })
	require.True(t, p.ready([]string{addr}), p.output())

	for driver, option := range map[string]string{"pgx": "&default_query_exec_mode=exec", "postgres": "&binary_parameters=yes"} {
		t.Run(driver, func(t *testing.T) {
			through := &postgresServer{addr: addr}
			stores := make([]*sqlstore.Store, 4)
			for i := range stores {
				stores[i] = newSQLStore(t, through.open(t, driver, database, option), func(cfg *sqlstore.Config) { cfg.Table = "public." + driver })
			}
			require.NoError(t, stores[0].Store(t.Context(), "counters/x", []byte("0")))
			var all sync.WaitGroup
			for _, store := range stores {
				all.Go(func() { assert.NoError(t, countUnderLock(t.Context(), store, "x")) })
			}
			all.Wait()
			got, err := stores[0].Load(t.Context(), "counters/x")
			require.NoError(t, err)
			assert.Equal(t, "40", string(got))

			tables := 0
			testStorage(t, storageQuirks{}, func(t *testing.T) certmagic.Storage {
				tables++
				return newSQLStore(t, through.open(t, driver, database, option), func(cfg *sqlstore.Config) {
					cfg.Table = fmt.Sprintf("public.%s%d", driver, tables)
				})
			})
		})
	}
}
