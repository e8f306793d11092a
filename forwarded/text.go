package forwarded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// presetsByName are the presets that ParseHops knows. The addresses behind the
// equals sign are the preset's arguments.
var presetsByName = map[string]func(from ...string) Hop{
	"hop":             func(from ...string) Hop { return Hop{From: from} },
	"trusted":         Trusted,
	"alb":             ALB,
	"nlb-tls":         NLBTLS,
	"nlb-tcp":         NLBTCP,
	"cloudfront":      CloudFront,
	"cloudflare":      Cloudflare,
	"googlecloud":     GoogleCloud,
	"nginx":           Nginx,
	"nginx-passing":   NginxPassing,
	"haproxy":         HAProxy,
	"apache":          Apache,
	"caddy":           Caddy,
	"traefik":         Traefik,
	"envoy":           Envoy,
	"azurefrontdoor":  func(from ...string) Hop { h := AzureFrontDoor(Secret{}, from...); h.Secret = Secret{}; return h },
	"azureappgateway": AzureAppGateway,
	"heroku":          fixedPeer(Heroku),
	"fly":             fixedPeer(Fly),
	"proxy":           Proxy,
}

// fixedPeer is for presets whose peer is known; addresses narrow it.
func fixedPeer(preset func() Hop) func(from ...string) Hop {
	return func(from ...string) Hop {
		h := preset()
		if len(from) > 0 {
			h.From = from
		}
		return h
	}
}

// presets finds them by their names without hyphens.
var presets = func() map[string]func(from ...string) Hop {
	m := make(map[string]func(from ...string) Hop, len(presetsByName))
	for name, f := range presetsByName {
		m[plainName(name)] = f
	}
	return m
}()

// plainName makes names equal that differ in case, hyphens and underscores.
func plainName(s string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s))
}

// ParseHops reads a topology from one string, an environment variable, say:
//
//	nginx=127.0.0.1;proto=passes alb=10.0.16.0/20,10.0.32.0/20
//
// Hops, nearest first, are separated by spaces. A hop is a preset's name, "="
// and the preset's addresses separated by commas, then keys that change it:
//
//	name=TEXT            percent-encoded
//	self=ADDR,ADDR       shared=true   replaceshost=true
//	secret=HEADER:env:NAME,file:PATH   percent-encoded
//	vouches=HEADER,HEADER
//	for= proto= host= port= prefix= clientcert=
//	                     passes, sets:H, appends:H, appends-self:H, relays:H, drops, drops:H,H or proxy
//
// The presets are the functions of this package in lower case (nlb-tls,
// nginx-passing), and "hop", which has no rules. The error names every hop
// that cannot be read. Addresses and rules are judged by New.
func ParseHops(s string) ([]Hop, error) {
	texts := strings.Fields(s)
	if len(texts) > maxHops {
		return nil, fmt.Errorf("%d hops, more than any real deployment has; declare at most %d", len(texts), maxHops)
	}
	var hops []Hop
	var errs []error
	for i, text := range texts {
		h, err := parseHop(text)
		if err != nil && strings.Contains(strings.ToLower(s), "secret") {
			err = errHidden
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("hop %d: %w", i+1, err))
		}
		hops = append(hops, h)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return hops, nil
}

// errHidden stands for what is wrong in a text that holds a secret: a misplaced
// separator makes any part of it a part of the secret.
var errHidden = errors.New("cannot be read (nothing of it is shown, for there is a secret, which is written Header:env:NAME or Header:file:PATH)")

func parseHop(text string) (Hop, error) {
	head, keys, _ := strings.Cut(text, ";")
	name, list, _ := strings.Cut(head, "=")
	f, ok := presets[plainName(name)]
	if !ok {
		return Hop{}, fmt.Errorf("%s is no preset", quoteCapped(name))
	}
	h := f(splitList(list)...)
	for pair := range strings.SplitSeq(keys, ";") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return Hop{}, fmt.Errorf("%s is not key=value", quoteCapped(pair))
		}
		if err := h.setText(key, value); err != nil {
			return Hop{}, fmt.Errorf("%s: %w", quoteCapped(key), err)
		}
	}
	return h, nil
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// setText sets one field from its text form.
func (h *Hop) setText(key, value string) (err error) {
	switch key {
	case "name":
		h.Name, err = unescapeText(value)
	case "self":
		h.Self = splitList(value)
	case "vouches":
		h.Vouches = splitList(value)
	case "shared":
		h.Shared, err = strconv.ParseBool(value)
	case "replaceshost":
		h.ReplacesHost, err = strconv.ParseBool(value)
	case "secret":
		err = h.Secret.UnmarshalText([]byte(value))
	default:
		for k := range kinds {
			if key == strings.ToLower(k.String()) {
				return h.rule(k).UnmarshalText([]byte(value))
			}
		}
		return errors.New("no such key")
	}
	return err
}

// String is MarshalText.
func (h Hop) String() string {
	var b strings.Builder
	b.WriteString("hop=" + strings.Join(h.From, ","))
	add := func(key, value string) {
		if value != "" {
			b.WriteString(";" + key + "=" + value)
		}
	}
	add("name", escapeText(h.Name))
	add("self", strings.Join(h.Self, ","))
	add("shared", onlyTrue(h.Shared))
	add("replaceshost", onlyTrue(h.ReplacesHost))
	add("secret", h.Secret.String())
	add("vouches", strings.Join(h.Vouches, ","))
	for k := range kinds {
		if rule := *h.rule(k); rule != Passes() {
			add(strings.ToLower(k.String()), rule.String())
		}
	}
	return b.String()
}

func onlyTrue(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// Format prints String for every verb: others would print the fields.
func (h Hop) Format(f fmt.State, _ rune) { io.WriteString(f, h.String()) }

// MarshalText writes the hop as ParseHops reads it, with the preset "hop" and
// every field that is not zero. A literal secret becomes "[redacted]".
func (h Hop) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads exactly one hop.
func (h *Hop) UnmarshalText(text []byte) error {
	hops, err := ParseHops(string(text))
	if err != nil {
		return err
	}
	if len(hops) != 1 {
		return fmt.Errorf("%d hops where one is expected", len(hops))
	}
	*h = hops[0]
	return nil
}

// hopJSON is a Hop in JSON: the keys and words of the text form.
type hopJSON struct {
	Name         string   `json:"name,omitempty"`
	From         []string `json:"from"`
	Self         []string `json:"self,omitempty"`
	Shared       bool     `json:"shared,omitempty"`
	ReplacesHost bool     `json:"replaceshost,omitempty"`
	Secret       Secret   `json:"secret,omitzero"`
	Vouches      []string `json:"vouches,omitempty"`
	For          Rule     `json:"for,omitzero"`
	Proto        Rule     `json:"proto,omitzero"`
	Host         Rule     `json:"host,omitzero"`
	Port         Rule     `json:"port,omitzero"`
	Prefix       Rule     `json:"prefix,omitzero"`
	ClientCert   Rule     `json:"clientcert,omitzero"`
}

// MarshalJSON writes an object with the words of the text form.
func (h Hop) MarshalJSON() ([]byte, error) { return json.Marshal(hopJSON(h)) }

// UnmarshalJSON reads that object, or a string in the text form. Unknown keys
// are an error: a misspelt rule would pass what it should not.
func (h *Hop) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		return h.UnmarshalText([]byte(text))
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	var read hopJSON
	if err := d.Decode(&read); err != nil {
		return err
	}
	*h = Hop(read)
	return nil
}

// escapeText keeps separators out of a value.
func escapeText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("%;,=", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescapeText(s string) (string, error) { return url.PathUnescape(s) }

// hopName is the hop's name, or its place.
func hopName(hops []Hop, i int) string {
	if hops[i].Name != "" {
		return hops[i].Name
	}
	return "hop " + strconv.Itoa(i+1)
}

// maxQuoted bounds what a stranger can put into a log line or a page.
const maxQuoted = 200

// quoteCapped quotes s for people, at most maxQuoted bytes of it.
func quoteCapped(s string) string {
	if len(s) > maxQuoted {
		return strconv.Quote(s[:maxQuoted]) + fmt.Sprintf("… (%d bytes)", len(s))
	}
	return strconv.Quote(s)
}
