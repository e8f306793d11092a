package forwarded_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/knownhops/knownhops/forwarded"
)

func TestParseHops(t *testing.T) {
	nginx := forwarded.Nginx("127.0.0.1")
	nginx.Proto, nginx.Name = forwarded.Passes(), "edge one;"
	google := forwarded.GoogleCloud("192.0.2.1")
	heroku := forwarded.Heroku()
	heroku.From = []string{"10.0.0.0/8"}
	all := forwarded.Hop{
		Name: "x", From: []string{"unix", "any"}, Self: []string{"192.0.2.1", "::1"}, Shared: true, ReplacesHost: true,
		Secret: forwarded.Secret{Header: "X-Origin-Secret", Values: []string{"env:A", "file:/b,c"}},
		For:    forwarded.AppendsWithSelf("X-Forwarded-For"), Proto: forwarded.Sets("Front-End-Https"), Host: forwarded.Drops(),
		Port: forwarded.Drops("X-Forwarded-Port", "X-Port"), Prefix: forwarded.Appends("X-Forwarded-Prefix"), ClientCert: forwarded.Sets("Client-Cert"),
	}
	for text, want := range map[string][]forwarded.Hop{
		"":                                 nil,
		" \t\n ":                           nil,
		"nginx=127.0.0.1":                  {forwarded.Nginx("127.0.0.1")},
		" nginx=127.0.0.1\n\talb=10.0.0.1": {forwarded.Nginx("127.0.0.1"), forwarded.ALB("10.0.0.1")},
		"nginx=127.0.0.1;proto=passes;name=edge%20one%3B": {nginx},
		"googlecloud=192.0.2.1":                           {google},
		"heroku=10.0.0.0/8":                               {heroku},
		"hop":                                             {{}},
		"hop=":                                            {{}},
		"hop=unix,any;name=x;self=192.0.2.1,::1;shared=true;replaceshost=true;secret=x-origin-secret:env:A,file:/b%2Cc;for=appends-self:x-forwarded-for;" +
			"proto=sets:front-end-https;host=drops;port=drops:x-port,X-Forwarded-Port;prefix=appends:X-Forwarded-Prefix;clientcert=sets:Client-Cert": {all},
		"nginx=127.0.0.1;": {forwarded.Nginx("127.0.0.1")},
		"nginx=127.0.0.1;;proto=passes;;name=edge%20one%3B;": {nginx},
		"trusted=10.0.0.1,": {forwarded.Trusted("10.0.0.1", "")}, // New refuses the empty string
	} {
		if got, err := forwarded.ParseHops(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v (%v), want %+v", text, got, err, want)
		}
	}
}

func TestParseHopsMistakes(t *testing.T) {
	for text, parts := range map[string]string{
		"ngnix=127.0.0.1":                   `hop 1|"ngnix" is no preset`,
		"127.0.0.1":                         "hop 1|is no preset",
		"nginx=127.0.0.1 alb=;proto":        `hop 2|"proto" is not key=value`,
		"nginx=127.0.0.1;color=red":         `"color": no such key`,
		"nginx=127.0.0.1;proto=":            "none of passes",
		"nginx=127.0.0.1;proto=Sets:X":      "none of passes",
		"nginx=127.0.0.1;proto=sets":        "none of passes",
		"nginx=127.0.0.1;proto=sets:":       "names no header",
		"nginx=127.0.0.1;proto=passes:X":    "none of passes",
		"nginx=127.0.0.1;host=drops:":       "names no header",
		"nginx=127.0.0.1;shared=perhaps":    `"shared"`,
		"nginx=127.0.0.1;secret=literal":    "Header:env:NAME",
		"nginx=127.0.0.1;name=%zz":          `"name"`,
		"a=1 nginx=127.0.0.1 b=2 c=3":       `hop 1: "a"|hop 3: "b"|hop 4: "c"`,
		strings.Repeat("a", 100_000) + "=1": "(100000 bytes)",
	} {
		hops, err := forwarded.ParseHops(text)
		if err == nil || hops != nil {
			t.Errorf("%.60q is read as %+v", text, hops)
			continue
		}
		for _, part := range strings.Split(parts, "|") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%.60q: the error does not say %s: %.300v", text, part, err)
			}
		}
		if len(err.Error()) > 1000 {
			t.Errorf("%.60q: an error of %d bytes", text, len(err.Error()))
		}
	}
}

// TestParseHopsHidesSecrets: where a string holds a secret, the place of a
// mistake is all that is said of it: the mistake may be that the secret holds
// a separator.
func TestParseHopsHidesSecrets(t *testing.T) {
	const one, two = "hunter2", "pa55word" // two stands where another part of the text begins
	for name, text := range map[string]string{
		"a semicolon":              "nginx=127.0.0.1;secret=X-A:" + one + ";" + two,
		"a semicolon, then a key":  "nginx=127.0.0.1;secret=X-A:" + one + ";" + two + "=" + two,
		"a semicolon, then a rule": "nginx=127.0.0.1;secret=X-A:" + one + ";for=" + two,
		"a semicolon, then drops:": "nginx=127.0.0.1;secret=X-A:" + one + ";host=" + two + ":",
		"a semicolon, then a flag": "nginx=127.0.0.1;secret=X-A:" + one + ";shared=" + two,
		"a space":                  "nginx=127.0.0.1;secret=X-A:" + one + " " + two,
		"a space, then =":          "nginx=127.0.0.1;secret=X-A:" + one + " " + two + "=1",
		"a line's end":             "nginx=127.0.0.1;secret=X-A:" + one + "\n" + two,
		"a mistake before it":      two + "=127.0.0.1;secret=X-A:" + one,
		"a colon for =":            "nginx=127.0.0.1;secret:X-A:" + one,
		"upper case":               "nginx=127.0.0.1;SECRET=X-A:" + one,
		"mixed case":               "nginx=127.0.0.1;sEcReT:X-A:" + one + " " + two,
		"no header":                "nginx=127.0.0.1;secret=" + one,
		"another key":              "nginx=127.0.0.1;mysecret=" + one,
		"a bad escape":             "nginx=127.0.0.1;secret=X-A:" + one + "%zz" + two,
		"no preset":                "secret=" + one,
		"a hop by itself":          "secret:" + one + "=" + two,
	} {
		var h forwarded.Hop
		_, parsed := forwarded.ParseHops(text)
		quoted, _ := json.Marshal(text)
		for how, err := range map[string]error{"ParseHops": parsed, "UnmarshalText": h.UnmarshalText([]byte(text)), "UnmarshalJSON": json.Unmarshal(quoted, &h)} {
			if err == nil {
				t.Errorf("%s: %s accepts it", name, how)
				continue
			}
			if strings.Contains(err.Error(), one) || strings.Contains(err.Error(), two) || strings.Contains(err.Error(), "%zz") {
				t.Errorf("%s: %s shows a part of the secret: %v", name, how, err)
			}
			if how == "ParseHops" && !strings.Contains(err.Error(), "hop ") {
				t.Errorf("%s: the error does not say where: %v", name, err)
			}
		}
	}
}

// TestParseHopsIsBounded: a text that is no topology costs neither time nor a
// long error.
func TestParseHopsIsBounded(t *testing.T) {
	for _, unit := range []string{"a ", "nginx=127.0.0.1 ", "nginx=;x ", "secret ", "a\n"} {
		begun := time.Now()
		hops, err := forwarded.ParseHops(strings.Repeat(unit, megabyte/len(unit)))
		if err == nil || hops != nil || len(err.Error()) > 200 || !strings.Contains(err.Error(), "at most 16") {
			t.Errorf("a megabyte of %q: %d hops, %.300v", unit, len(hops), err)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("a megabyte of %q takes %v", unit, took)
		}
	}
	if hops, err := forwarded.ParseHops(strings.Repeat("nginx=127.0.0.1 ", 16)); len(hops) != 16 || err != nil {
		t.Errorf("sixteen hops are read as %d (%v)", len(hops), err)
	}
	if _, err := forwarded.ParseHops(strings.Repeat("nginx=127.0.0.1 ", 17)); err == nil {
		t.Error("seventeen hops are read, which New refuses")
	}
}

// TestVouchesText: what a hop vouches for survives text and JSON.
func TestVouchesText(t *testing.T) {
	hop := forwarded.Nginx("127.0.0.1")
	hop.Vouches = []string{"X-Forwarded-User", "x-acme-user"}
	if hops, err := forwarded.ParseHops("nginx=127.0.0.1;vouches=X-Forwarded-User,x-acme-user"); err != nil || !reflect.DeepEqual(hops, []forwarded.Hop{hop}) {
		t.Errorf("written by hand: %+v (%v)", hops, err)
	}
	var fromText, fromJSON forwarded.Hop
	if err := fromText.UnmarshalText([]byte(hop.String())); err != nil || !reflect.DeepEqual(fromText, hop) {
		t.Errorf("%v is read as %+v (%v)", hop, fromText, err)
	}
	b, err := json.Marshal(hop)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &fromJSON); err != nil || !reflect.DeepEqual(fromJSON, hop) {
		t.Errorf("%s is read as %+v (%v)", b, fromJSON, err)
	}
	p := behind(t, hop)
	for _, h := range []forwarded.Hop{p.Config().Hops[0], hop} {
		h.Vouches[0] = "X-Evil"
	}
	if got := p.Config().Hops[0].Vouches[0]; got != "X-Forwarded-User" {
		t.Errorf("a copy of the configuration changed it: it vouches for %s", got)
	}
}

func TestHopText(t *testing.T) {
	var h forwarded.Hop
	for _, bad := range []string{"", "nginx=127.0.0.1 alb=10.0.0.1", "x=1"} {
		if err := h.UnmarshalText([]byte(bad)); err == nil || !reflect.DeepEqual(h, forwarded.Hop{}) {
			t.Errorf("%q is one hop: %+v (%v)", bad, h, err)
		}
	}
}

func TestHopJSON(t *testing.T) {
	t.Setenv("FDID", testSecret)
	for text, hop := range presets() {
		b, err := json.Marshal(hop)
		if err != nil {
			t.Fatal(err)
		}
		var read forwarded.Hop
		if err := json.Unmarshal(b, &read); err != nil || !reflect.DeepEqual(read, hop) {
			t.Errorf("%s: %s is read as %+v (%v)", text, b, read, err)
		}
	}
	var list []forwarded.Hop
	if err := json.Unmarshal([]byte(`["nginx=127.0.0.1;proto=passes", {"name":"lb","from":["10.0.0.0/8"],"for":"appends:X-Forwarded-For"}]`), &list); err != nil {
		t.Fatal(err)
	}
	want := []forwarded.Hop{{Name: "nginx", From: []string{"127.0.0.1"}, For: forwarded.Appends("X-Forwarded-For")}, {Name: "lb", From: []string{"10.0.0.0/8"}, For: forwarded.Appends("X-Forwarded-For")}}
	if !reflect.DeepEqual(list, want) {
		t.Errorf("read as %+v, want %+v", list, want)
	}
	for _, bad := range []string{`{"from":["10.0.0.1"],"prto":"passes"}`, `{"for":"set:X"}`, `{"for":1}`, `"x=1"`, `[]`, `1`} {
		h := forwarded.Hop{Name: "before"}
		if err := json.Unmarshal([]byte(bad), &h); err == nil || h.Name != "before" {
			t.Errorf("%s is a hop: %+v (%v)", bad, h, err)
		}
	}
}
