package sqlstore

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

const (
	keySize = 32 // AES-256
	// overhead is what sealing adds to a value: the nonce before and the tag behind.
	overhead = 12 + 16
)

// A Key seals values. Nothing here prints its secret: String, LogValue, the
// verbs of fmt and the marshallers write a reference or "[redacted]".
type Key struct {
	// ID is stored beside each value that the key has sealed: 1 to 64 letters,
	// digits, dots, dashes and underscores. It must never be given to another key.
	ID string

	// Secret is 32 random bytes in base64, as "openssl rand -base64 32" prints
	// them, or better a reference to where they are, "env:NAME" or "file:PATH",
	// which New reads.
	Secret string
}

const redacted = "[redacted]"

// String is the text form, "ID:env:NAME"; a secret that is not a reference is
// left out.
func (k Key) String() string {
	if strings.HasPrefix(k.Secret, "env:") || strings.HasPrefix(k.Secret, "file:") {
		return k.ID + ":" + k.Secret
	}
	return k.ID + ":" + redacted
}

// Format prints String for every verb: %d and its like would otherwise print
// the fields.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what String writes.
func (k *Key) UnmarshalText(text []byte) error {
	id, secret, ok := strings.Cut(string(text), ":")
	if !ok {
		return errors.New("a key is written ID:env:NAME or ID:file:PATH")
	}
	*k = Key{ID: id, Secret: secret}
	return nil
}

// A sealer is the compiled Keys.
type sealer struct {
	first       string // ID of the key that seals; "": values are kept in clear
	keys        map[string]cipher.AEAD
	acceptPlain bool
}

// compileKeys reads the secrets; its errors name the references, never what
// they lead to.
func compileKeys(keys []Key, errs *ConfigErrors) sealer {
	s := sealer{keys: make(map[string]cipher.AEAD, len(keys))}
	for i, k := range keys {
		field := fmt.Sprintf("Keys[%d]", i)
		if badID(k.ID) {
			errs.Add(field+".ID", k.ID, "not 1 to 64 letters, digits, dots, dashes and underscores", `write one like "2026-11"`)
		}
		if _, twice := s.keys[k.ID]; twice {
			errs.Add(field+".ID", k.ID, "another key has this ID", "give each key one of its own")
		}
		aead, err := k.compile()
		if err != nil {
			shown := strings.TrimPrefix(k.String(), k.ID+":")
			errs.Add(field+".Secret", shown, err.Error(), `write "env:NAME" or "file:PATH" where "openssl rand -base64 32" was put`)
		}
		s.keys[k.ID] = aead
	}
	if len(keys) > 0 {
		s.first = keys[0].ID
	}
	return s
}

func badID(id string) bool {
	return id == "" || len(id) > 64 || strings.ContainsFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	})
}

func (k Key) compile() (cipher.AEAD, error) {
	text, err := k.read()
	if err != nil {
		return nil, err
	}
	secret, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(secret) != keySize {
		return nil, fmt.Errorf("not %d bytes in base64", keySize)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// read follows a reference.
func (k Key) read() (string, error) {
	if name, ok := strings.CutPrefix(k.Secret, "env:"); ok {
		text, set := os.LookupEnv(name)
		if !set {
			return "", errors.New("the environment variable is not set")
		}
		return strings.TrimSpace(text), nil
	}
	if path, ok := strings.CutPrefix(k.Secret, "file:"); ok {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("the file cannot be read: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	return k.Secret, nil
}

// seal returns what is stored for a value, and the ID to store beside it. It
// never returns nil, which would be NULL.
func (s *sealer) seal(key string, value []byte) (stored []byte, id string) {
	if s.first == "" {
		return append(make([]byte, 0, len(value)), value...), ""
	}
	return s.keys[s.first].Seal(nil, nil, value, associated(s.first, key)), s.first
}

// open is the reverse of seal.
func (s *sealer) open(key string, stored []byte, id string) ([]byte, error) {
	if id == "" {
		if !s.acceptPlain {
			return nil, errors.New("the value is not sealed")
		}
		return stored, nil
	}
	aead := s.keys[id]
	if aead == nil {
		return nil, fmt.Errorf("the value is sealed by the key %q, which is not among Keys", id)
	}
	value, err := aead.Open(nil, nil, stored, associated(id, key))
	if err != nil {
		return nil, fmt.Errorf("the value was not sealed under this name by the key %q: it was changed, moved or cut", id)
	}
	return value, nil
}

// associated binds a sealed value to its place. An ID holds no zero byte, so
// that no two pairs look the same.
func associated(id, key string) []byte {
	return []byte("knownhops sqlstore 1\x00" + id + "\x00" + key)
}

// plainSize is the length of the value of which so many bytes are stored.
func plainSize(stored int64, id string) int64 {
	if id == "" {
		return stored
	}
	return max(stored-overhead, 0)
}
