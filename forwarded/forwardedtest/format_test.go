package forwardedtest

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const minimal = `vector: a
rule: A rule.
remote: 127.0.0.1:1
want-reason: direct
`

func TestParse(t *testing.T) {
	const text = `# A comment.

vector: everything
rule: Everything: a vector with all keys.
hops: nginx=127.0.0.1 alb=10.0.0.0/8
remote: 127.0.0.1:5555
tls: yes
host: www.example.com
header: X-Forwarded-For: 1.2.3.4
# A comment inside a vector.
header: x-forwarded-for:
header: X-Forwarded-Proto:https
header: X_Alias: a:b
want-client: 203.0.113.7
want-scheme: https
want-host: www.example.com
want-reason: forwarded
want-port: 8443
want-hops: 2

` + minimal
	got, err := parse("file.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	want := []Vector{
		{
			Name: "file/everything", Rule: "Everything: a vector with all keys.",
			Hops: "nginx=127.0.0.1 alb=10.0.0.0/8", RemoteAddr: "127.0.0.1:5555", TLS: true, Host: "www.example.com",
			Header: http.Header{
				"X-Forwarded-For":   {"1.2.3.4", ""},
				"X-Forwarded-Proto": {"https"},
				"X_alias":           {"a:b"},
			},
			Want: Want{
				Client: "203.0.113.7", Scheme: "https", Host: "www.example.com", Reason: "forwarded", Port: 8443, Hops: 2,
			},
		},
		{Name: "file/a", Rule: "A rule.", RemoteAddr: "127.0.0.1:1", Header: http.Header{}, Want: Want{Reason: "direct"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseErrors(t *testing.T) {
	with := func(line string) string { return minimal + line + "\n" }
	tests := []struct {
		name, text, want string
	}{
		{"no colon", with("tls"), `f.txt:5: not "key: value"`},
		{"unknown key", with("color: red"), `f.txt:5: unknown key "color"`},
		{"key in capitals", with("TLS: yes"), `f.txt:5: unknown key "TLS"`},
		{"key twice", with("remote: 127.0.0.1:2"), `f.txt:5: second "remote" in the same vector`},
		{"vector twice", with("vector: b"), `f.txt:5: second "vector" in the same vector`},
		{"outside a vector", "\nrule: A rule.\n", `f.txt:2: "rule" before the line that names the vector`},
		{"after a vector", with("\ntls: yes"), `f.txt:6: "tls" before the line that names the vector`},
		{"name", "vector: A b\n", `f.txt:1: vector: name "A b"`},
		{"name missing", "vector:\n", `f.txt:1: vector: name ""`},
		{"name twice", minimal + "\n" + minimal, `f.txt:6: vector: second "a" in this file`},
		{"rule missing", "vector: a\nremote: x\nwant-reason: direct\n\n", `f.txt:4: vector f/a ends without "rule"`},
		{"remote missing", "vector: a\nrule: A rule.\nwant-reason: direct\n", `f.txt:4: vector f/a ends without "remote"`},
		{"reason missing", "vector: a\nrule: A rule.\nremote: x", `f.txt:3: vector f/a ends without "want-reason"`},
		{"rule without full stop", "vector: a\nrule: A rule\n", `f.txt:2: rule: not a sentence`},
		{"rule empty", "vector: a\nrule:\n", `f.txt:2: rule: not a sentence`},
		{"tls", with("tls: true"), `f.txt:5: tls: "true" is neither yes nor no`},
		{"header without colon", with("header: X-Forwarded-For"), `f.txt:5: header: not "Name: value"`},
		{"header without name", with("header: : x"), `f.txt:5: header: not "Name: value"`},
		{"header name", with("header: X Y: z"), `f.txt:5: header: not "Name: value"`},
		{"client", with("want-client: unknown"), `f.txt:5: want-client: "unknown" is not an address`},
		{"client long form", with("want-client: 2001:db8::0:7"), `f.txt:5: want-client:`},
		{"client mapped", with("want-client: ::ffff:1.2.3.4"), `f.txt:5: want-client:`},
		{"client with zone", with("want-client: fe80::1%eth0"), `f.txt:5: want-client:`},
		{"client with port", with("want-client: 1.2.3.4:80"), `f.txt:5: want-client:`},
		{"scheme", with("want-scheme: unknown"), `f.txt:5: want-scheme: "unknown" is neither http nor https`},
		{"reason", "vector: a\nwant-reason: Skipped hop\n", `f.txt:2: want-reason: "Skipped hop"`},
		{"port zero", with("want-port: 0"), `f.txt:5: want-port: "0" is not a port`},
		{"port too large", with("want-port: 65536"), `f.txt:5: want-port:`},
		{"hops", with("want-hops: -1"), `f.txt:5: want-hops: "-1" is not a small number`},
		{"tab", with("host: a\tb"), `f.txt:5: byte 0x09 in column 8; write \x09`},
		{"carriage return", with("tls: no\r"), `f.txt:5: byte 0x0d in column 8`},
		{"not ASCII", with("# naïve"), `f.txt:5: byte 0xc3 in column 5`},
		{"space at the end", with("host: a "), `f.txt:5: space at the end of the line`},
		{"escape", with(`host: \n`), `f.txt:5: host: unknown escape \n`},
		{"escape in header", with(`header: A: \q`), `f.txt:5: header: unknown escape \q`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vectors, err := parse("f.txt", tt.text)
			if err == nil {
				t.Fatalf("parsed as %+v", vectors)
			}
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{`a "quoted" } value`, `a "quoted" } value`},
		{`\\ \" \{ \t`, "\\ \" { \t"},
		{`\x00\xff\x20`, "\x00\xff "},
		{`{repeat 3 ","}`, ",,,"},
		{`a{repeat 2 ", "}b{repeat 1 "c"}`, "a, , bc"},
		{`{repeat 2 "\"\\\t"}`, "\"\\\t\"\\\t"},
		{`{repeat 0 "x"}`, ""},
		{`\{repeat 2 "x"}`, `{repeat 2 "x"}`},
	}
	for _, tt := range tests {
		got, err := expand(tt.in)
		if got != tt.want || err != nil {
			t.Errorf("expand(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	for in, want := range map[string]string{
		`\`:                                    "single",
		`a\`:                                   "single",
		`\q`:                                   "unknown escape",
		`\x`:                                   "two hexadecimal digits",
		`\x4`:                                  "two hexadecimal digits",
		`\x4g`:                                 "two hexadecimal digits",
		`\x+4`:                                 "two hexadecimal digits",
		`{`:                                    "{ that does not begin",
		`{"scheme":"https"}`:                   "{ that does not begin",
		`{repeat x "y"}`:                       "{ that does not begin",
		`{repeat 2 "{repeat 2 \"x\"}"}`:        "{ that does not begin",
		`{repeat 2 "\q"}`:                      "unknown escape",
		`{repeat 2000000 "x"}`:                 "more than",
		`{repeat 99999999999999999999999 "x"}`: "more than",
		`{repeat 9223372036854775807 "xx"}`:    "more than",
	} {
		if got, err := expand(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expand(%q) = %q, %v; want an error with %q", in, got, err, want)
		}
	}
}
