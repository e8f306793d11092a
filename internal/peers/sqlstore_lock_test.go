//go:build linux

package peers

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

const (
	siteLock = "issue_cert_example.com" // what certmagic calls it
	siteKey  = "certificates/ca/example.com/example.com.key"
)

// A holder that was killed is replaced when its lease ends, and not before; one that lives is not, however long it takes.
func testSQLStoreKilledHolder(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		t.Run(driver, func(t *testing.T) {
			database := pg.newDatabase(t)
			child := startChild(t, childTask{Driver: driver, URL: pg.url(database), Lease: time.Second})
			store := newSQLStore(t, pg.open(t, driver, database, ""), nil)
			require.Equal(t, "done", child.do(t, "lock", "x"))

			living, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond) // two and a half leases
			defer cancel()
			require.ErrorIs(t, store.Lock(living, "x"), context.DeadlineExceeded, "a lease was not renewed")

			child.signal(t, syscall.SIGKILL)
			before := time.Now()
			require.NoError(t, store.Lock(t.Context(), "x"))
			require.Less(t, time.Since(before), 10*time.Second)
			require.NoError(t, store.Unlock(t.Context(), "x"))
		})
	}
}

// A holder that was stopped for longer than its lease, and replaced, wakes up in the middle of its work. It must change
// nothing then, and the other must notice nothing.
func testSQLStorePausedHolder(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		t.Run(driver, func(t *testing.T) {
			database := pg.newDatabase(t)
			child := startChild(t, childTask{Driver: driver, URL: pg.url(database), Lease: time.Second})
			store := newSQLStore(t, pg.open(t, driver, database, ""), func(cfg *sqlstore.Config) { cfg.Lease = time.Minute })
			require.Equal(t, "done", child.do(t, "lock", siteLock))
			require.Equal(t, "done", child.do(t, "store", siteKey, "first"))
			require.Equal(t, "done", child.do(t, "delete", siteKey+".old"))

			child.signal(t, syscall.SIGSTOP)
			require.NoError(t, store.Lock(t.Context(), siteLock))
			require.NoError(t, store.Store(t.Context(), siteKey, []byte("second")))
			child.signal(t, syscall.SIGCONT)

			assert.Contains(t, child.do(t, "store", siteKey, "third"), sqlstore.ErrLeaseLost.Error())
			assert.Contains(t, child.do(t, "delete", siteKey), sqlstore.ErrLeaseLost.Error())
			assert.Contains(t, child.do(t, "delete", "certificates/ca/example.com"), sqlstore.ErrLeaseLost.Error())
			assert.Equal(t, "second", child.do(t, "load", siteKey))
			assert.Equal(t, "done", child.do(t, "store", "certificates/ca/other.example/x", "y"), "another certificate")
			assert.Contains(t, child.do(t, "renew", siteLock), sqlstore.ErrLeaseLost.Error())
			assert.Contains(t, child.do(t, "unlock", siteLock), sqlstore.ErrLeaseLost.Error())
			assert.Equal(t, "false", child.do(t, "trylock", siteLock), "Unlock took the lock away from its holder")
			assert.NoError(t, store.Store(t.Context(), siteKey, []byte("fourth")))
			require.NoError(t, store.Unlock(t.Context(), siteLock))

			require.Equal(t, "true", child.do(t, "trylock", siteLock))
			assert.Equal(t, "done", child.do(t, "store", siteKey, "fifth"))
			assert.Equal(t, "done", child.do(t, "unlock", siteLock))
		})
	}
}

// A lease that was lost can be had back if nobody has it: certmagic asks before each attempt, for up to 30 days.
func testSQLStoreRegains(t *testing.T, pg *postgresServer) {
	database := pg.newDatabase(t)
	store := newSQLStore(t, pg.open(t, "pgx", database, ""), nil)
	other := newSQLStore(t, pg.open(t, "pgx", database, ""), nil)
	assert.ErrorIs(t, store.RenewLockLease(t.Context(), siteLock, time.Hour), sqlstore.ErrNotHeld)
	require.NoError(t, store.Lock(t.Context(), siteLock))
	require.NoError(t, store.RenewLockLease(t.Context(), siteLock, time.Hour))
	assert.LessOrEqual(t, pg.count(t, database, `SELECT extract(epoch FROM max(expires) - clock_timestamp())::int FROM tlsterm_locks`), 2,
		"a killed holder would keep the lock for hours")

	// Who lost a lease does not keep alive that of its successor, who has died since.
	pg.exec(t, database, `UPDATE tlsterm_locks SET token = 'another', expires = clock_timestamp() + interval '1 second'`)
	time.Sleep(2 * time.Second)
	assert.Equal(t, 1, pg.count(t, database, `SELECT count(*) FROM tlsterm_locks WHERE expires < clock_timestamp()`))
	require.NoError(t, other.Lock(t.Context(), siteLock))
	assert.ErrorIs(t, store.RenewLockLease(t.Context(), siteLock, time.Hour), sqlstore.ErrLeaseLost)
	assert.ErrorIs(t, store.Store(t.Context(), siteKey, nil), sqlstore.ErrLeaseLost)
	require.NoError(t, other.Unlock(t.Context(), siteLock))
	assert.ErrorIs(t, store.Store(t.Context(), siteKey, nil), sqlstore.ErrLeaseLost, "somebody may have been there meanwhile")
	require.NoError(t, store.RenewLockLease(t.Context(), siteLock, time.Hour))
	assert.NoError(t, store.Store(t.Context(), siteKey, nil))

	// It is renewed again in the background, too.
	time.Sleep(3 * time.Second)
	got, err := other.TryLock(t.Context(), siteLock)
	require.NoError(t, err)
	assert.False(t, got)
	require.NoError(t, store.Unlock(t.Context(), siteLock))
	assert.Zero(t, pg.count(t, database, `SELECT count(*) FROM tlsterm_locks`))
}

// Eight processes add to one number: what any of them adds while another does would be lost.
func testSQLStoreContention(t *testing.T, pg *postgresServer) {
	database := pg.newDatabase(t)
	children := make([]*sqlChild, 8)
	for i := range children {
		children[i] = startChild(t, childTask{Driver: sqlDrivers[i%2], URL: pg.url(database), Lease: 20 * time.Second})
	}
	require.Equal(t, "done", children[0].do(t, "store", "counters/x", "0"))
	for _, c := range children {
		c.send(t, "count", "x")
	}
	for _, c := range children {
		require.Equal(t, "done", c.answer(t))
	}
	require.Equal(t, "80", children[0].do(t, "load", "counters/x"))
	require.Zero(t, pg.count(t, database, `SELECT count(*) FROM tlsterm_locks`))
}

// Processes whose clocks are years apart share locks: only the database's clock counts.
func testSQLStoreClocks(t *testing.T, pg *postgresServer) {
	database := pg.newDatabase(t)
	here := newSQLStore(t, pg.open(t, "pgx", database, ""), nil)
	require.NoError(t, here.Lock(t.Context(), "mine"))
	synctest.Test(t, func(t *testing.T) { // here it is the year 2000
		db := pg.open(t, "postgres", database, "")
		there := newSQLStore(t, db, func(cfg *sqlstore.Config) { cfg.Lease = time.Minute })
		require.Equal(t, 2000, time.Now().Year())
		got, err := there.TryLock(t.Context(), "mine")
		require.NoError(t, err)
		assert.False(t, got, "the past took over a lock")
		got, err = there.TryLock(t.Context(), "theirs")
		require.NoError(t, err)
		require.True(t, got)
		got, err = here.TryLock(t.Context(), "theirs")
		require.NoError(t, err)
		assert.False(t, got, "a lock from the past was taken over")
		require.NoError(t, there.Store(t.Context(), "k", nil))
		info, err := here.Stat(t.Context(), "k")
		require.NoError(t, err)
		assert.Greater(t, info.Modified.Year(), 2025)
		require.NoError(t, there.Unlock(t.Context(), "theirs"))
		require.NoError(t, db.Close())
	})
	require.NoError(t, here.Unlock(t.Context(), "mine"))
}
