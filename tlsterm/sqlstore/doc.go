// Package sqlstore keeps the certificates of a fleet in a database: a
// [certmagic.Storage] over database/sql. PostgreSQL is the reference engine,
// tested with version 15; the driver is the program's own choice.
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	…
//	store, err := sqlstore.New(sqlstore.Config{
//		DB:   db,
//		Keys: []sqlstore.Key{{ID: "2026", Secret: "env:CERT_SEAL_KEY"}},
//	})
//
// Every process with the same table shares accounts, certificates, challenges
// and locks, so that one of them obtains a certificate and any of them answers
// the authority's question about it.
//
// # Locks
//
// A lock is a row that holds a random token, and is leased: the holder renews
// it in the background until Unlock, and once it has not done so for
// Config.Lease, another may replace the token. That is how the lock of a killed
// process is taken over. The clock is the database's alone, so that it does not
// matter what time the processes believe it is.
//
// The token decides, in every statement, who holds the lock; the lease only says
// when others may replace the token. A holder that was away for longer, and whom
// nobody has replaced, still holds it.
//
// certmagic's interface does not say under which lock a value is written. For
// the lock that matters, the one under which a certificate is obtained, the
// names of the keys do: while a Store holds it, everything written or deleted
// below "certificates/<authority>/<name>/" is conditional, in the same
// statement, on the token. A holder that was paused, and replaced meanwhile, is
// told [ErrLeaseLost] and changes nothing. Writes under other locks, and writes
// by those who hold none, are not conditional.
//
// # What the database learns
//
// Without Config.Keys it holds private keys in clear, as do its backups, its
// replicas and perhaps its log of statements. With them each value is sealed by
// AES-256-GCM, with its key's name as associated data, so that values cannot be
// exchanged for one another. Names, sizes and times stay visible. Whoever can
// write to the table can still delete values or put back old ones.
//
// # Connections
//
// Each call is one statement, or a few independent ones: no transactions, no
// advisory locks, no session settings and no LISTEN. It works through PgBouncer
// in transaction mode if the driver uses no named prepared statements there: with pgx,
// default_query_exec_mode=exec; with lib/pq, binary_parameters=yes.
package sqlstore
