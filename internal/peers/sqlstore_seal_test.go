//go:build linux

package peers

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

// What the database holds tells nobody a private key, and nothing in it can be exchanged for something else.
func testSQLStoreSealed(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		t.Run(driver, func(t *testing.T) {
			database := pg.newDatabase(t)
			db := pg.open(t, driver, database, "")
			store := newSQLStore(t, db, func(cfg *sqlstore.Config) { cfg.Keys = []sqlstore.Key{sealKey("k1", 1)} })
			secret := []byte("-----BEGIN EC PRIVATE KEY-----")
			require.NoError(t, store.Store(t.Context(), "a.key", secret))
			require.NoError(t, store.Store(t.Context(), "b.key", bytes.Repeat([]byte{'b'}, len(secret))))
			info, err := store.Stat(t.Context(), "a.key")
			require.NoError(t, err)
			assert.EqualValues(t, len(secret), info.Size)

			stored := func(key string) (value []byte) {
				require.NoError(t, db.QueryRow(`SELECT value FROM tlsterm WHERE key = $1`, key).Scan(&value))
				return value
			}
			first := stored("a.key")
			assert.NotContains(t, string(first), "PRIVATE")
			require.NoError(t, store.Store(t.Context(), "a.key", secret))
			assert.NotEqual(t, first, stored("a.key"), "the same value is sealed the same way twice")

			change := func(statement string, args ...any) {
				_, err := db.Exec(statement, args...)
				require.NoError(t, err)
			}
			fails := func(s *sqlstore.Store, word string) {
				t.Helper()
				_, err := s.Load(t.Context(), "a.key")
				require.ErrorContains(t, err, word)
				assert.NotContains(t, err.Error(), "PRIVATE")
				assert.NotContains(t, err.Error(), base64Of(1))
			}
			change(`UPDATE tlsterm SET value = $1 WHERE key = 'a.key'`, stored("b.key"))
			fails(store, "moved")
			damaged := bytes.Clone(first)
			damaged[20] ^= 1
			change(`UPDATE tlsterm SET value = $1 WHERE key = 'a.key'`, damaged)
			fails(store, "changed")
			change(`UPDATE tlsterm SET value = $1 WHERE key = 'a.key'`, first[:5])
			fails(store, "cut")
			change(`UPDATE tlsterm SET value = $1, sealed = '' WHERE key = 'a.key'`, secret)
			fails(store, "not sealed")
			change(`UPDATE tlsterm SET value = $1, sealed = 'k1' WHERE key = 'a.key'`, first)
			fails(newSQLStore(t, db, nil), "not among Keys")
			fails(newSQLStore(t, db, func(cfg *sqlstore.Config) { cfg.Keys = []sqlstore.Key{sealKey("k1", 2)} }), "changed")
			got, err := store.Load(t.Context(), "a.key")
			require.NoError(t, err)
			assert.Equal(t, secret, got)

			change(`UPDATE tlsterm SET value = convert_to(repeat('x', 2000000), 'UTF8') WHERE key = 'a.key'`)
			fails(store, "more than the limit")
			assert.ErrorContains(t, store.Store(t.Context(), "a.key", make([]byte, 1<<20+1)), "more than the limit")
		})
	}
}

// A key is exchanged, and sealing is introduced, without a moment in which a value cannot be read.
func testSQLStoreRotation(t *testing.T, pg *postgresServer) {
	database := pg.newDatabase(t)
	with := func(acceptPlain bool, keys ...sqlstore.Key) *sqlstore.Store {
		return newSQLStore(t, pg.open(t, "pgx", database, ""), func(cfg *sqlstore.Config) {
			cfg.Keys, cfg.DangerouslyAcceptPlain = keys, acceptPlain
		})
	}
	old, latest := sealKey("old", 1), sealKey("latest", 2)
	stages := []*sqlstore.Store{with(false), with(true, old), with(false, old), with(false, old, latest), with(false, latest, old), with(false, latest)}
	plain, adding, both, rotated := stages[0], stages[1], stages[4], stages[5]
	_, err := plain.Reseal(t.Context())
	require.Error(t, err)
	for i := range 450 { // several pages
		require.NoError(t, plain.Store(t.Context(), string(rune('a'+i%26))+"/"+string(rune(0x4e00+i)), []byte{byte(i)}))
	}
	before, err := plain.Stat(t.Context(), "a/"+string(rune(0x4e00)))
	require.NoError(t, err)

	reads := func(s *sqlstore.Store) {
		t.Helper()
		for i := range 450 {
			got, err := s.Load(t.Context(), string(rune('a'+i%26))+"/"+string(rune(0x4e00+i)))
			require.NoError(t, err)
			require.Equal(t, []byte{byte(i)}, got)
		}
	}
	reseals := func(s *sqlstore.Store, want int) {
		t.Helper()
		n, err := s.Reseal(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	reads(adding)
	_, err = both.Reseal(t.Context())
	require.ErrorContains(t, err, "not sealed", "what somebody planted would be sealed")
	reseals(adding, 450)
	reseals(adding, 0)
	reads(stages[2])
	require.NoError(t, stages[2].Store(t.Context(), "k", []byte("by old")))
	require.NoError(t, stages[3].Store(t.Context(), "l", []byte("by old as well")))
	require.NoError(t, both.Store(t.Context(), "m", []byte("by latest")))
	reads(both)
	got, err := stages[3].Load(t.Context(), "m")
	require.NoError(t, err)
	assert.Equal(t, "by latest", string(got))
	reseals(both, 452)
	reads(rotated)
	after, err := rotated.Stat(t.Context(), before.Key)
	require.NoError(t, err)
	assert.Equal(t, before, after)
}
