//go:build linux

package peers

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

// sqlDrivers are what programs reach PostgreSQL with.
var sqlDrivers = []string{"pgx", "postgres"} // jackc/pgx and lib/pq

// A postgresServer is a private PostgreSQL in a directory of its own: nothing of the system's service is touched.
type postgresServer struct {
	bin, dir, addr string
	owner          *syscall.Credential // nil: the user who runs the test
	process        *process
}

// startPostgres runs a new, empty cluster until the end of the test. Its databases sort by the rules of a language, as
// in most installations, so that whatever relies on the order of bytes must say so itself.
func startPostgres(t *testing.T) *postgresServer {
	t.Helper()
	pg := &postgresServer{bin: findPostgres(t), addr: freeAddrs(t, 1)[0]}
	dir, err := os.MkdirTemp("", "postgres")
	require.NoError(t, err)
	pg.dir = dir
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		pg.owner = postgresUser(t)
		require.NoError(t, os.Chown(dir, int(pg.owner.Uid), int(pg.owner.Gid)))
	}
	initdb := pg.command("initdb", "-D", pg.data(), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
		"--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US", "--no-sync", "--no-instructions")
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, "%s", out)
	pg.start(t)
	t.Cleanup(func() { pg.stop(t, syscall.SIGINT) })
	return pg
}

// findPostgres returns the directory of the programs: Debian keeps them out of PATH, one directory for each version.
func findPostgres(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	if len(found) == 0 {
		return filepath.Dir(findPeer(t, "initdb"))
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// postgresUser is who the server runs as when the test is root: the package's own user, or nobody.
func postgresUser(t *testing.T) *syscall.Credential {
	t.Helper()
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	require.NoError(t, err)
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	require.NoError(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (pg *postgresServer) data() string { return filepath.Join(pg.dir, "data") }

func (pg *postgresServer) command(name string, args ...string) *exec.Cmd {
	path := name
	if !strings.Contains(name, "/") {
		path = filepath.Join(pg.bin, name)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = pg.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + pg.dir, "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: pg.owner}
	return cmd
}

// start runs the server and waits until it answers; the same address is used again after a stop.
func (pg *postgresServer) start(t *testing.T) {
	t.Helper()
	_, port, _ := strings.Cut(pg.addr, ":")
	pg.process = pg.run(t, pg.command("postgres", "-D", pg.data(), "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+pg.dir, "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=80",
		"-c", "log_min_messages=fatal"))
	db := pg.open(t, "pgx", "postgres", "")
	require.Eventually(t, func() bool { return db.Ping() == nil }, startTime, 20*time.Millisecond, "PostgreSQL does not start")
	require.NoError(t, db.Close())
}

// run starts a program of the cluster's owner, whose output is kept for the reader of a failed test.
func (pg *postgresServer) run(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, log: filepath.Join(pg.dir, filepath.Base(cmd.Path)+".txt"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // ended by a signal, as it should
	}()
	return p
}

// stop ends the server: SIGINT closes every connection properly, SIGQUIT drops them and needs recovery.
func (pg *postgresServer) stop(t *testing.T, sig syscall.Signal) {
	t.Helper()
	pg.process.signal(sig)
	select {
	case <-pg.process.done:
	case <-time.After(stopTime):
	}
	pg.process.stop(t, []string{pg.addr})
}

// open returns a pool for one database. It is closed at the end of the test.
func (pg *postgresServer) open(t *testing.T, driver, database, options string) *sql.DB {
	t.Helper()
	return openSQL(t, driver, pg.url(database)+options)
}

func (pg *postgresServer) url(database string) string {
	return "postgres://postgres@" + pg.addr + "/" + database + "?sslmode=disable&connect_timeout=5"
}

func openSQL(t *testing.T, driver, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// newDatabase creates an empty database, named after the test, and returns its name.
func (pg *postgresServer) newDatabase(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("t%x", time.Now().UnixNano())
	pg.exec(t, "postgres", `CREATE DATABASE `+name)
	return name
}

// exec runs one statement as the administrator.
func (pg *postgresServer) exec(t *testing.T, database, statement string) {
	t.Helper()
	db := pg.open(t, "pgx", database, "")
	defer db.Close()
	_, err := db.Exec(statement)
	require.NoError(t, err, statement)
}

// count returns the number that a statement yields.
func (pg *postgresServer) count(t *testing.T, database, statement string) (n int) {
	t.Helper()
	db := pg.open(t, "pgx", database, "")
	defer db.Close()
	require.NoError(t, db.QueryRow(statement).Scan(&n), statement)
	return n
}

// newSQLStore is a Store with short times, with what change does to its Config.
func newSQLStore(t *testing.T, db *sql.DB, change func(*sqlstore.Config)) *sqlstore.Store {
	t.Helper()
	cfg := sqlstore.Config{DB: db, Lease: 2 * time.Second, Poll: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	store, err := sqlstore.New(cfg)
	require.NoError(t, err)
	return store
}

// sealKey is a key made of one repeated byte.
func sealKey(id string, b byte) sqlstore.Key {
	return sqlstore.Key{ID: id, Secret: base64Of(b)}
}

func base64Of(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}
