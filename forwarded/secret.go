package forwarded

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
)

// A Secret is a header value known only to you and your proxy. Addresses of a
// CDN do not prove whose distribution is calling; the header does.
//
// Each of Values is a reference, "env:NAME" or "file:PATH", read when the
// Policy is made, or the secret itself; at least 16 bytes. List two while
// rotating. The zero Secret means none. Nothing here prints a secret: String,
// LogValue, the verbs of fmt that vet lets pass and the marshallers write a reference or
// "[redacted]", which New refuses. fmt may not call methods of unexported
// fields, though: a struct that hides a Secret in one should hold references.
type Secret struct {
	Header string   // the header that the proxy adds; it must replace a client's own
	Values []string // references or secrets; any of them is accepted
}

const (
	redacted  = "[redacted]"
	minSecret = 16
)

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.Header == "" && len(s.Values) == 0 }

// String is the text form that [ParseHops] reads, "Header:ref,ref".
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	refs := make([]string, len(s.Values))
	for i, v := range s.Values {
		refs[i] = escapeText(reference(v))
	}
	return s.Header + ":" + strings.Join(refs, ",")
}

// Format prints String for every verb: %d and its like would otherwise print
// the fields.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue keeps the values out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String writes.
func (s *Secret) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Secret{}
		return nil
	}
	header, refs, ok := strings.Cut(string(text), ":")
	if !ok || header == "" || refs == "" {
		return fmt.Errorf("a secret is written Header:env:NAME or Header:file:PATH")
	}
	read := Secret{Header: http.CanonicalHeaderKey(header)}
	for ref := range strings.SplitSeq(refs, ",") {
		value, err := unescapeText(ref)
		if err != nil {
			return fmt.Errorf("a secret's reference: %w", err)
		}
		read.Values = append(read.Values, value)
	}
	*s = read
	return nil
}

// reference is what may be printed of a value.
func reference(value string) string {
	if strings.HasPrefix(value, "env:") || strings.HasPrefix(value, "file:") {
		return value
	}
	return redacted
}

// proof is a compiled Secret.
type proof struct {
	header string
	values [][]byte
}

// compileSecret reads the references; its errors name them, never the values.
func compileSecret(field string, s Secret, errs *ConfigErrors) *proof {
	if s.IsZero() {
		return nil
	}
	p := &proof{header: http.CanonicalHeaderKey(s.Header)}
	if reason := headerNameProblem(s.Header); reason != "" {
		errs.Add(field+".Header", s.Header, reason, "name a header of your own, like X-Origin-Secret")
	}
	if len(s.Values) == 0 {
		errs.Add(field+".Values", "", "no value", `add "env:NAME" or "file:PATH"`)
	}
	for i, v := range s.Values {
		at := fmt.Sprintf("%s.Values[%d]", field, i)
		value, err := readSecret(v)
		switch {
		case err != nil:
			errs.Add(at, reference(v), err.Error(), "set it before the service starts")
		case v == redacted:
			errs.Add(at, redacted, "a printed configuration, not a secret", `write "env:NAME" or "file:PATH"`)
		case len(value) < minSecret:
			errs.Add(at, reference(v), fmt.Sprintf("%d bytes are too few to be a secret", len(value)),
				fmt.Sprintf("use at least %d random bytes", minSecret))
		case !isFieldValue(value):
			errs.Add(at, reference(v), "holds a byte that no header can carry unchanged", "use letters and digits")
		default:
			p.values = append(p.values, []byte(value))
		}
	}
	return p
}

// isFieldValue reports whether a header carries s unchanged: no control bytes,
// no space at the ends, which parsers trim (RFC 9110 §5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return strings.Trim(s, " ") == s
}

func readSecret(value string) (string, error) {
	if name, ok := strings.CutPrefix(value, "env:"); ok {
		v, set := os.LookupEnv(name)
		if !set {
			return "", fmt.Errorf("the environment variable is not set")
		}
		return strings.TrimSpace(v), nil
	}
	if path, ok := strings.CutPrefix(value, "file:"); ok {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("the file cannot be read: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	return value, nil
}

// shown reports whether the request carries the secret. Exactly one line is
// accepted, since a second one would be the client's. The comparison takes
// the same time for every wrong value of the right length.
func (p *proof) shown(h http.Header) bool {
	lines := h[p.header]
	if len(lines) != 1 {
		return false
	}
	found := 0
	for _, v := range p.values {
		found |= subtle.ConstantTimeCompare([]byte(lines[0]), v)
	}
	return found == 1
}
