//go:build linux

package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A browser is a real Chromium without windows, which has one tab open.
type browser struct {
	*devtools
	process *process
	dir     string // all that it writes is in there
	session string // of the tab
	loader  string // the document in the tab
	stopped bool
}

// startBrowser runs Chromium with a new profile until the end of the test.
func startBrowser(t *testing.T, s *site) *browser {
	t.Helper()
	return startBrowserIn(t, filepath.Join(t.TempDir(), "profile"), s)
}

// startBrowserIn is startBrowser with a profile that another browser may have left.
func startBrowserIn(t *testing.T, profile string, s *site) *browser {
	t.Helper()
	path := findPeer(t, "chromium")
	dir := t.TempDir()
	port := filepath.Join(profile, "DevToolsActivePort")
	_ = os.Remove(port) // of a browser before
	args := append([]string{"TMPDIR=" + dir, path}, browserArgs(profile, s)...)
	b := &browser{dir: dir, process: launch(t, findPeer(t, "env"), dir, args)} // which sets the directory and becomes Chromium
	t.Cleanup(func() { b.stop(t) })
	var text []byte
	require.Eventually(t, func() bool {
		text, _ = os.ReadFile(port) // it is not there at first
		return strings.Count(string(text), "\n") == 1
	}, startTime, 10*time.Millisecond, "the browser does not start")
	number, way, _ := strings.Cut(string(text), "\n")
	b.devtools = dialDevtools(t, "ws://127.0.0.1:"+number+way)
	b.openTab(t)
	return b
}

// browserArgs keep everything that Chromium does by itself on this machine: whatever it looks up but the site does not
// exist. The certificate is trusted by its key: --ignore-certificate-errors would make Chromium forget HSTS.
func browserArgs(profile string, s *site) []string {
	return []string{
		"--headless", "--no-sandbox", // its sandbox does not start as root; the pages are our own
		"--user-data-dir=" + profile, "--remote-debugging-port=0",
		"--ignore-certificate-errors-spki-list=" + s.keyHash, "--host-resolver-rules=" + s.resolverRules(),
		"--no-proxy-server", "--no-first-run", "--no-pings", "--no-service-autorun", "--password-store=basic",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
		"--disable-extensions", "--disable-domain-reliability", "--disable-client-side-phishing-detection",
		"--disable-breakpad", "--disable-crash-reporter", "--disable-gpu", "--disable-dev-shm-usage",
		"--metrics-recording-only", "--log-level=3", "--mute-audio", "--disk-cache-size=8388608",
		"--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,MediaRouter,OptimizationHints,Translate," +
			"AutofillServerCommunication,CertificateTransparencyComponentUpdater",
		"about:blank",
	}
}

// stop ends the browser, and asserts that no process of it is left: some leave its process group.
func (b *browser) stop(t *testing.T) {
	if b.stopped {
		return
	}
	b.stopped = true
	if b.devtools != nil {
		b.devtools.close()
	}
	b.process.stop(t, nil)
	assert.Eventually(t, func() bool { return len(processesNaming(b.dir)) == 0 }, stopTime, 10*time.Millisecond,
		"the browser left processes behind")
}

// processesNaming lists the processes that have text in their arguments or their environment.
func processesNaming(text string) (list []string) {
	for _, file := range []string{"cmdline", "environ"} {
		names, _ := filepath.Glob("/proc/[0-9]*/" + file) // the pattern is well-formed
		for _, name := range names {
			if content, _ := os.ReadFile(name); strings.Contains(string(content), text) {
				list = append(list, name)
			}
		}
	}
	return list
}
