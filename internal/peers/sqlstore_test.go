//go:build linux

package peers

import "testing"

// TestSQLStore runs package sqlstore against a real PostgreSQL, one cluster for all of it.
func TestSQLStore(t *testing.T) {
	if testing.Short() {
		t.Skip("starts PostgreSQL")
	}
	pg := startPostgres(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *postgresServer)
	}{
		{"conforms", testSQLStoreConforms},
		{"killed holder", testSQLStoreKilledHolder},
		{"paused holder", testSQLStorePausedHolder},
		{"lease regained", testSQLStoreRegains},
		{"contention", testSQLStoreContention},
		{"clocks", testSQLStoreClocks},
		{"created at once", testSQLStoreCreatedAtOnce},
		{"permissions", testSQLStorePermissions},
		{"read-only", testSQLStoreReadOnly},
		{"time-outs", testSQLStoreTimeouts},
		{"sealed", testSQLStoreSealed},
		{"rotation", testSQLStoreRotation},
		{"lost connections", testSQLStoreLostConnections},
		{"restarts", testSQLStoreRestarts},
		{"outage", testSQLStoreOutage},
		{"PgBouncer", testSQLStorePgBouncer},
		{"fencing", testSQLStoreFencesCertmagic},
		{"two managers", testSQLStoreTwoManagers},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, pg) })
	}
}
