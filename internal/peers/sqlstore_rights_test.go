//go:build linux

package peers

import (
	"context"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

// Processes that start together each find no tables and make them.
func testSQLStoreCreatedAtOnce(t *testing.T, pg *postgresServer) {
	for range 4 {
		database := pg.newDatabase(t)
		start := make(chan struct{})
		var all sync.WaitGroup
		for i := range 8 {
			db := pg.open(t, sqlDrivers[i%2], database, "")
			require.NoError(t, db.Ping())
			store := newSQLStore(t, db, nil)
			all.Go(func() {
				<-start
				assert.NoError(t, store.Store(t.Context(), "a/b", []byte("c")))
			})
		}
		close(start)
		all.Wait()
	}
}

// A service that may not create tables says what to do, and works once somebody has done it.
func testSQLStorePermissions(t *testing.T, pg *postgresServer) {
	database := pg.newDatabase(t)
	pg.exec(t, database, `CREATE ROLE app LOGIN`)
	pg.exec(t, database, `CREATE SCHEMA other`)
	pg.exec(t, database, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	for _, driver := range sqlDrivers {
		db := openSQL(t, driver, strings.Replace(pg.url(database), "postgres@", "app@", 1))
		store := newSQLStore(t, db, func(cfg *sqlstore.Config) { cfg.Table = "public." + driver })
		_, err := store.Load(t.Context(), "a")
		require.ErrorContains(t, err, "permission denied")
		require.ErrorContains(t, err, "Schema")
		require.NotErrorIs(t, err, fs.ErrNotExist, "certmagic would order a new certificate")
		require.ErrorContains(t, store.Lock(t.Context(), "a"), "permission denied")

		never := newSQLStore(t, db, func(cfg *sqlstore.Config) { cfg.Table, cfg.NoCreate = "public."+driver, true })
		require.ErrorContains(t, never.Store(t.Context(), "a", nil), "NoCreate")

		text, err := sqlstore.Schema("public." + driver)
		require.NoError(t, err)
		pg.exec(t, database, text)
		pg.exec(t, database, text) // again changes nothing
		require.ErrorContains(t, store.Store(t.Context(), "a", nil), "permission denied")
		pg.exec(t, database, `GRANT SELECT, INSERT, UPDATE, DELETE ON `+driver+`, `+driver+`_locks TO app`)
		for _, s := range []*sqlstore.Store{store, never} {
			require.NoError(t, s.Lock(t.Context(), siteLock))
			require.NoError(t, s.Store(t.Context(), siteKey, []byte("b")))
			require.NoError(t, s.Delete(t.Context(), siteKey))
			require.NoError(t, s.Unlock(t.Context(), siteLock))
		}
		gone := newSQLStore(t, db, func(cfg *sqlstore.Config) { cfg.Table = "nowhere.x" })
		require.ErrorContains(t, gone.Store(t.Context(), "a", nil), "nowhere")
	}
}

// A database that cannot be written to is still read from, and what fails says why.
func testSQLStoreReadOnly(t *testing.T, pg *postgresServer) {
	database := pg.newDatabase(t)
	writer := newSQLStore(t, pg.open(t, "pgx", database, ""), nil)
	require.NoError(t, writer.Store(t.Context(), "a/b", []byte("c")))
	pg.exec(t, database, `ALTER DATABASE `+database+` SET default_transaction_read_only = on`)
	for _, driver := range sqlDrivers {
		store := newSQLStore(t, pg.open(t, driver, database, ""), nil)
		got, err := store.Load(t.Context(), "a/b")
		require.NoError(t, err)
		assert.Equal(t, "c", string(got))
		assert.True(t, store.Exists(t.Context(), "a"))
		for _, err := range []error{
			store.Store(t.Context(), "a/b", nil),
			store.Delete(t.Context(), "a/b"),
			store.Lock(t.Context(), "a"),
		} {
			assert.ErrorContains(t, err, "read-only")
		}
		missing := newSQLStore(t, pg.open(t, driver, database, ""), func(cfg *sqlstore.Config) { cfg.Table = "public.missing" })
		_, err = missing.Load(t.Context(), "a")
		require.ErrorContains(t, err, "read-only")
		require.NotErrorIs(t, err, fs.ErrNotExist)
	}
}

// A statement that hangs ends in time, and so does everything that waits for it.
func testSQLStoreTimeouts(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		database := pg.newDatabase(t)
		store := newSQLStore(t, pg.open(t, driver, database, ""), func(cfg *sqlstore.Config) { cfg.Timeout = 300 * time.Millisecond })
		require.NoError(t, store.Store(t.Context(), "a/b", []byte("c")))
		tx, err := pg.open(t, "pgx", database, "").Begin()
		require.NoError(t, err)
		_, err = tx.Exec(`LOCK TABLE tlsterm, tlsterm_locks IN ACCESS EXCLUSIVE MODE`)
		require.NoError(t, err)

		started := time.Now()
		_, err = store.Load(t.Context(), "a/b")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotErrorIs(t, err, fs.ErrNotExist)
		assert.ErrorIs(t, store.Store(t.Context(), "a/b", nil), context.DeadlineExceeded)
		assert.ErrorIs(t, store.Lock(t.Context(), "a"), context.DeadlineExceeded)
		_, err = store.List(t.Context(), "", true)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.False(t, store.Exists(t.Context(), "a/b"))
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = store.Stat(short, "a/b")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(started), 10*time.Second)
		require.NoError(t, tx.Rollback())
		assert.NoError(t, store.Lock(t.Context(), "a"), "the attempt that timed out left a lock")
		assert.NoError(t, store.Unlock(t.Context(), "a"))
	}
}
