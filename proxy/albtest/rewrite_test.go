package albtest

import (
	"bufio"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// came parses a request as if it had come to a listener.
func came(t *testing.T, port int, client, text string, preserveHost bool) *message {
	t.Helper()
	m, err := readRequest(bufio.NewReader(strings.NewReader(text)), false)
	require.NoError(t, err)
	m.origin = origin{listener: compileListener(Listener{Port: port}), client: netip.MustParseAddrPort(client)}
	m.locate(preserveHost)
	return m
}

func TestForwardedFor(t *testing.T) {
	rows := []struct {
		sent       string
		attributes Attributes
		several    SeveralXFF
		client     string
		want       string
	}{
		{"", Attributes{}, 0, "192.0.2.1:5678", "192.0.2.1"},
		{"a", Attributes{}, 0, "192.0.2.1:5678", "a, 192.0.2.1"},
		{"a, b", Attributes{}, 0, "192.0.2.1:5678", "a, b, 192.0.2.1"},
		{"", Attributes{XFFHeaderProcessing: Preserve}, 0, "192.0.2.1:5678", ""},
		{"a", Attributes{XFFHeaderProcessing: Preserve, XFFClientPort: true}, 0, "192.0.2.1:5678", "a"},
		{"a, b|c", Attributes{XFFHeaderProcessing: Preserve}, 0, "192.0.2.1:5678", "a, b|c"},
		{"", Attributes{XFFHeaderProcessing: Remove}, 0, "192.0.2.1:5678", ""},
		{"a, b", Attributes{XFFHeaderProcessing: Remove, XFFClientPort: true}, 0, "192.0.2.1:5678", ""},
		{"", Attributes{XFFClientPort: true}, 0, "192.0.2.1:5678", "192.0.2.1:5678"},
		{"a", Attributes{XFFClientPort: true}, 0, "[2001:db8::1]:5678", "a, [2001:db8::1]:5678"},
		{"a", Attributes{}, 0, "[2001:db8::1]:5678", "a, 2001:db8::1"},
		{"a", Attributes{}, 0, "[::ffff:192.0.2.1]:5678", "a, 192.0.2.1"},
		{"a|b", Attributes{}, JoinLines, "192.0.2.1:5678", "a, b, 192.0.2.1"},
		{"a|b", Attributes{}, AppendToLast, "192.0.2.1:5678", "a|b, 192.0.2.1"},
		{"a|b", Attributes{}, KeepAndAdd, "192.0.2.1:5678", "a|b|192.0.2.1"},
	}
	for _, row := range rows {
		t.Run(fmt.Sprintf("%s %v %v %s", row.sent, row.attributes.XFFHeaderProcessing, row.several, row.client), func(t *testing.T) {
			request := "GET / HTTP/1.1\r\nHost: a\r\n"
			for _, line := range strings.Split(row.sent, "|") {
				if line != "" {
					request += "x-forwarded-for: " + line + "\r\n"
				}
			}
			w := rewriter{row.attributes, Unknowns{SeveralXFF: row.several}}
			head := w.head(came(t, 443, row.client, request+"\r\n", false), time.Now())
			assert.Equal(t, row.want, strings.Join(head.values(xff), "|"))
		})
	}
}

// TestHost is the table of the attribute routing.http.preserve_host_header.
func TestHost(t *testing.T) {
	rows := []struct {
		port                    int
		target, host            string
		rewritten, kept, ruling string
	}{
		{443, "/", "example.com", "example.com", "example.com", "example.com"},
		{80, "/", "example.com:80", "example.com", "example.com:80", "example.com"},
		{443, "/", "example.com:8443", "example.com", "example.com:8443", "example.com"},
		{443, "https://dns.example/x", "example.com", "dns.example", "example.com", "dns.example"},
		{80, "http://dns.example:80/x", "example.com", "dns.example", "example.com", "dns.example"},
		{8080, "/", "example.com", "example.com:8080", "example.com", "example.com"},
		{8080, "/", "example.com:99", "example.com:99", "example.com:99", "example.com"},
		{443, "/", "[2001:db8::1]:443", "[2001:db8::1]", "[2001:db8::1]:443", "[2001:db8::1]"},
		{8443, "/", "[2001:db8::1]", "[2001:db8::1]:8443", "[2001:db8::1]", "[2001:db8::1]"},
		{80, "/", "one.example|two.example", "one.example", "one.example|two.example", "one.example"},
	}
	for _, row := range rows {
		for _, preserve := range []bool{false, true} {
			request := "GET " + row.target + " HTTP/1.1\r\n"
			for _, line := range strings.Split(row.host, "|") {
				request += "Host: " + line + "\r\n"
			}
			m := came(t, row.port, "192.0.2.1:1", request+"\r\n", preserve)
			head := rewriter{attributes: Attributes{PreserveHostHeader: preserve}}.head(m, time.Now())
			want := row.rewritten
			if preserve {
				want = row.kept
			} else {
				host, _ := splitPort(m.host)
				assert.Equal(t, row.ruling, host, "what the rules look at")
			}
			assert.Equal(t, want, strings.Join(head.values("Host"), "|"), "%d %s %s %t", row.port, row.target, row.host, preserve)
		}
	}
}

func TestTraceID(t *testing.T) {
	const id = `1-5f5e1000-[0-9a-f]{24}`
	now := time.Unix(0x5f5e1000, 0)
	for _, row := range []struct {
		sent string
		size int
		want string
	}{
		{"", 100, `^Root=` + id + `$`},
		{"Root=1-63441c4a-abcdef012345678912345678", 100, `^Self=` + id + `;Root=1-63441c4a-abcdef012345678912345678$`},
		{"Root=1-63441c4a-abcdef012345678912345678;CalledFrom=app", 100, `^Self=` + id + `;Root=1-63441c4a-abcdef012345678912345678;CalledFrom=app$`},
		{"Self=1-63441c4a-abcdef;Root=x;a=b", 100, `^Self=` + id + `;Root=x;a=b$`},
		{"CalledFrom=app", 100, `^Root=` + id + `;CalledFrom=app$`},
		{"Root=x;CalledFrom=app", 8 << 10, `^Root=x$`},
	} {
		assert.Regexp(t, row.want, traceValue(row.sent, row.size, now), row.sent)
	}
}

func TestWhatPasses(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: a\r\nX_Under: 1\r\nX.Dot: 2\r\nX-Amzn-Oidc-Data: 3\r\nX-Amzn-Tls-Version: forged\r\nX-Real-IP: 4\r\nno colon\r\nX-Last: 5\r\n folded\r\n\r\n"
	own := func(w rewriter) []string {
		var lines []string
		for _, f := range w.head(came(t, 80, "192.0.2.1:1", request, false), time.Now())[5:] {
			lines = append(lines, strings.TrimSuffix(f.line(), "\r\n"))
		}
		return lines
	}
	assert.Equal(t, []string{"X_Under: 1", "X.Dot: 2", "X-Amzn-Oidc-Data: 3", "X-Amzn-Tls-Version: forged", "X-Real-IP: 4", "no colon:", "X-Last: 5", " folded:"}, own(rewriter{}))
	assert.Equal(t, []string{"X-Amzn-Oidc-Data: 3", "X-Amzn-Tls-Version: forged", "X-Real-IP: 4", "X-Last: 5"}, own(rewriter{attributes: Attributes{DropInvalidHeaderFields: true}}))
	assert.Equal(t, []string{"X_Under: 1", "X.Dot: 2", "X-Real-IP: 4", "no colon:", "X-Last: 5", " folded:"}, own(rewriter{unknowns: Unknowns{DropClientAmzn: true}}))
}

func TestCipherSuiteNames(t *testing.T) {
	for id, want := range map[uint16]string{
		0x1301: "TLS_AES_128_GCM_SHA256", 0xc02f: "ECDHE-RSA-AES128-GCM-SHA256", 0xc02b: "ECDHE-ECDSA-AES128-GCM-SHA256",
		0xc030: "ECDHE-RSA-AES256-GCM-SHA384", 0xcca9: "ECDHE-ECDSA-CHACHA20-POLY1305", 0xc013: "ECDHE-RSA-AES128-SHA", 0xc027: "ECDHE-RSA-AES128-SHA256",
	} {
		assert.Equal(t, want, cipherSuite(id))
	}
	assert.Equal(t, "TLSv1.3", tlsVersion(0x304))
	assert.Equal(t, "TLSv1.2", tlsVersion(0x303))
}

func TestEscapePEM(t *testing.T) {
	chain := []*x509.Certificate{{Raw: []byte{0xfb, 0xff}}, {Raw: []byte{0xfb, 0xff, 0xbf, 0xfe}}}
	assert.Equal(t, "-----BEGIN%20CERTIFICATE-----%0A+/8=%0A-----END%20CERTIFICATE-----%0A"+
		"-----BEGIN%20CERTIFICATE-----%0A+/+//g==%0A-----END%20CERTIFICATE-----%0A", escapePEM(chain))
}
