//go:build linux

package peers

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

// An acmeTask is what a child needs to obtain certificates.
type acmeTask struct {
	Directory string
	Root      []byte // of the directory's certificate, PEM
	HTTPPort  int    // where this child answers challenges
}

// startPebble runs a certificate authority that asks for challenges at httpPort. It returns what a child needs, save
// its port.
func startPebble(t *testing.T, httpPort int) acmeTask {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	silent := log.New(io.Discard, "", 0)
	dns := freeAddrs(t, 1)[0]
	resolver, err := challtestsrv.New(challtestsrv.Config{Log: silent, DNSAddrs: []string{dns}})
	require.NoError(t, err)
	resolver.SetDefaultDNSIPv4("127.0.0.1")
	resolver.SetDefaultDNSIPv6("")
	go resolver.Run()
	t.Cleanup(resolver.Shutdown)
	require.Eventually(t, func() bool { return accepts(dns) }, startTime, 5*time.Millisecond)

	store := db.NewMemoryStore()
	authority := ca.New(silent, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 90 * 24 * 3600}})
	front := wfe.New(silent, store, va.New(silent, httpPort, 0, false, dns, store), authority,
		[]string{"pebble.letsencrypt.org"}, false, false, 0, 0)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	return acmeTask{
		Directory: server.URL + wfe.DirectoryPath,
		Root:      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
}

// manager sets certmagic up over a storage. Stop the cache in the end.
func manager(storage certmagic.Storage, issuer func(*certmagic.Config) certmagic.Issuer) (*certmagic.Config, *certmagic.Cache) {
	var cfg *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		Logger:             zap.NewNop(),
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return cfg, nil },
		RenewCheckInterval: time.Hour,
	})
	cfg = certmagic.New(cache, certmagic.Config{Storage: storage, Logger: zap.NewNop()})
	cfg.Issuers = []certmagic.Issuer{issuer(cfg)}
	return cfg, cache
}

func (task *acmeTask) issuer(cfg *certmagic.Config) certmagic.Issuer {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(task.Root)
	return certmagic.NewACMEIssuer(cfg, certmagic.ACMEIssuer{
		CA: task.Directory, TestCA: task.Directory, TrustedRoots: roots,
		Email: "ops@example.com", Agreed: true, Logger: zap.NewNop(),
		ListenHost: "127.0.0.1", AltHTTPPort: task.HTTPPort, DisableTLSALPNChallenge: true,
	})
}

// carryOutACME is one command of a child, each with a certmagic of its own.
func carryOutACME(t *testing.T, store *sqlstore.Store, task *acmeTask, words []string) (string, error) {
	if task == nil {
		return "", fmt.Errorf("no such command: %s", words[0])
	}
	cfg, cache := manager(store, task.issuer)
	switch words[0] {
	case "serve": // until the process ends
		return serveChallenges(cfg, task.HTTPPort)
	case "manage":
		defer cache.Stop()
		if err := cfg.ManageSync(context.Background(), words[1:2]); err != nil {
			return "", err
		}
		cert, err := cfg.CacheManagedCertificate(context.Background(), words[1])
		if err != nil {
			return "", err
		}
		return cert.Leaf.SerialNumber.String(), nil
	}
	return "", fmt.Errorf("no such command: %s", words[0])
}

func serveChallenges(cfg *certmagic.Config, port int) (string, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	issuer := cfg.Issuers[0].(*certmagic.ACMEIssuer)
	go http.Serve(ln, issuer.HTTPChallengeHandler(http.NotFoundHandler()))
	return "done", nil
}

// Two processes share a table. One orders a certificate; the authority's question reaches the other, which answers it,
// and then serves the certificate without an order of its own.
func testSQLStoreTwoManagers(t *testing.T, pg *postgresServer) {
	for _, driver := range sqlDrivers {
		t.Run(driver, func(t *testing.T) {
			database := pg.newDatabase(t)
			ports := make([]int, 2)
			for i, addr := range freeAddrs(t, 2) {
				_, port, _ := strings.Cut(addr, ":")
				ports[i], _ = strconv.Atoi(port)
			}
			acme := startPebble(t, ports[1])
			children := make([]*sqlChild, 2)
			for i := range children {
				mine := acme
				mine.HTTPPort = ports[i]
				children[i] = startChild(t, childTask{Driver: driver, URL: pg.url(database), Lease: 5 * time.Second, ACME: &mine})
			}
			require.Equal(t, "done", children[1].do(t, "serve"))
			serial := children[0].do(t, "manage", "shop.example.com")
			require.NotContains(t, serial, "error")
			assert.Equal(t, serial, children[1].do(t, "manage", "shop.example.com"))

			// Both want the next one at once, and get the same.
			for _, c := range children {
				c.send(t, "manage", "both.example.com")
			}
			first, second := children[0].answer(t), children[1].answer(t)
			require.NotContains(t, first, "error")
			assert.Equal(t, first, second)
			assert.NotEqual(t, serial, first)

			store := newSQLStore(t, pg.open(t, driver, database, ""), nil)
			keys, err := store.List(t.Context(), "certificates", true)
			require.NoError(t, err)
			assert.Len(t, keys, 1+2*4, "%v", keys)
			assert.Zero(t, pg.count(t, database, `SELECT count(*) FROM tlsterm_locks`))
		})
	}
}

// A thief takes the lock over while the authority works, as happens to a holder that was paused.
type thief struct {
	steal func()
	asked atomic.Int32
}

func (i *thief) Issue(context.Context, *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	i.asked.Add(1)
	i.steal()
	return &certmagic.IssuedCertificate{Certificate: []byte("a certificate")}, nil
}

func (*thief) IssuerKey() string { return "thief" }

// certmagic's own names tell a Store which values depend on which lock: this fails should they change.
func testSQLStoreFencesCertmagic(t *testing.T, pg *postgresServer) {
	database := pg.newDatabase(t)
	store := newSQLStore(t, pg.open(t, "pgx", database, ""), nil)
	other := newSQLStore(t, pg.open(t, "pgx", database, ""), nil)
	for _, name := range []string{"example.com", "*.Example.com", "192.0.2.1"} {
		lock := "issue_cert_" + name
		issuer := &thief{}
		cfg, cache := manager(store, func(*certmagic.Config) certmagic.Issuer { return issuer })
		defer cache.Stop()
		issuer.steal = func() {
			pg.exec(t, database, `UPDATE tlsterm_locks SET expires = '2000-01-01'`)
			require.NoError(t, other.Lock(t.Context(), lock))
		}
		err := cfg.ObtainCertSync(t.Context(), name)
		require.ErrorContains(t, err, sqlstore.ErrLeaseLost.Error()) // certmagic keeps the words only
		require.EqualValues(t, 1, issuer.asked.Load())
		_, err = store.List(t.Context(), "certificates", true)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, other.Unlock(t.Context(), lock))

		issuer.steal = func() {}
		require.NoError(t, cfg.ObtainCertSync(t.Context(), name))
		require.NoError(t, store.Delete(t.Context(), "certificates"))
	}
}
