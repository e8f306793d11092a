package proxyproto

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withoutParts is h without its bytes.
func withoutParts(h Header) Header {
	h.paths, h.tlvs = nil, nil
	return h
}

// says reports whether h is the row's header.
func (v legal) says(h Header) bool {
	return reflect.DeepEqual(withoutParts(h), v.header()) && printed(h) == v.tlvs
}

func printed(h Header) string {
	var list []string
	for kind, value := range h.TLVs() {
		list = append(list, fmt.Sprintf("%x=%s", uint8(kind), value))
	}
	return strings.Join(list, " ")
}

func TestLegal(t *testing.T) {
	for _, v := range legalHeaders(t) {
		t.Run(v.name, func(t *testing.T) {
			h, b, err := read(bytes.NewReader(v.bytes), nil, defaultMaxHeader)
			require.NoError(t, err)
			assert.Equal(t, v.bytes, b)
			assert.Equal(t, v.header(), withoutParts(h))
			assert.Equal(t, v.tlvs, printed(h))
		})
	}
}

// What follows a header belongs to somebody else, however the bytes arrive.
func TestNotAByteMore(t *testing.T) {
	for _, v := range legalHeaders(t) {
		for _, behind := range []string{"", "G", "\n", "PROXY TCP4 198.51.100.1 10.0.0.1 1000 443\r\nGET", string(v.bytes)} {
			for _, split := range []func(io.Reader) io.Reader{plain, iotest.OneByteReader, iotest.HalfReader} {
				all := bytes.NewReader([]byte(string(v.bytes) + behind))
				h, b, err := read(split(all), nil, defaultMaxHeader)
				if err != nil || !bytes.Equal(b, v.bytes) || !v.says(h) || all.Len() != len(behind) {
					t.Errorf("%s, then %.40q: %v, %v, %d bytes left of %d", v.name, behind, h.Transport, err, all.Len(), len(behind))
				}
			}
		}
	}
}

func plain(r io.Reader) io.Reader { return r }

// A header in two parts is the same header, wherever it is cut; without the
// second part it is neither read nor refused.
func TestEverySplit(t *testing.T) {
	for _, v := range legalHeaders(t) {
		for i := range v.bytes {
			first, second := v.bytes[:i], v.bytes[i:]
			_, b, err := read(bytes.NewReader(first), nil, defaultMaxHeader)
			if err != io.EOF || len(b) != i {
				t.Fatalf("%s, cut at %d: %v", v.name, i, err)
			}
			h, _, err := read(io.MultiReader(bytes.NewReader(first), bytes.NewReader(second)), nil, defaultMaxHeader)
			if err != nil || !v.says(h) {
				t.Fatalf("%s, split at %d: %+v, %v", v.name, i, h, err)
			}
		}
	}
}

// What can no longer become a header is refused at once: the sender need not
// finish, or wait, for that.
func TestIllegal(t *testing.T) {
	for _, v := range illegalHeaders() {
		t.Run(v.name, func(t *testing.T) {
			_, _, err := read(bytes.NewReader(v.bytes), nil, defaultMaxHeader)
			assert.Equal(t, error(v.why), err, "in one piece")
			_, b, err := read(iotest.OneByteReader(bytes.NewReader(v.bytes)), nil, defaultMaxHeader)
			assert.Equal(t, error(v.why), err, "byte by byte")
			assert.Len(t, b, v.after)
		})
	}
}

// A smaller limit holds for both versions, to the byte.
func TestLimit(t *testing.T) {
	line, block := []byte("PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\r\n"), v2(0x21, 0x21, tcp6)
	for _, b := range [][]byte{line, block} {
		_, _, err := read(bytes.NewReader(b), nil, len(b))
		assert.NoError(t, err)
		_, _, err = read(bytes.NewReader(b), nil, len(b)-1)
		assert.Equal(t, tooLong, err)
	}
}

func TestPaths(t *testing.T) {
	full := strings.Repeat("x", 108)
	for _, c := range []struct{ source, destination, wantSource, wantDestination string }{
		{"/run/client", "/run/proxy", "/run/client", "/run/proxy"},
		{"", "/run/proxy\x00rubbish", "", "/run/proxy"},
		{"\x00name", full, "@name", full},
		{"\x00in\x00side", "", "@in\x00side", ""},
	} {
		h, _, err := read(bytes.NewReader(v2(0x21, 0x31, named(c.source, c.destination))), nil, defaultMaxHeader)
		require.NoError(t, err)
		source, destination := h.Paths()
		assert.Equal(t, []string{c.wantSource, c.wantDestination}, []string{source, destination})
	}
	source, destination := Header{}.Paths()
	assert.Empty(t, source+destination)
}

func TestExtensions(t *testing.T) {
	ssl := "\x07\x00\x00\x00\x00" + string(tlv(0x21, "TLSv1.3")) + string(tlv(0x22, "client.example")) + string(tlv(0x23, "AES")) +
		string(tlv(0x24, "SHA256")) + string(tlv(0x25, "RSA2048")) + string(tlv(0x7F, "new"))
	h, _, err := read(bytes.NewReader(v2(0x21, 0x11, tcp4, tlv(0x02, "a.example"), tlv(0xEA, "\x02other"), tlv(0xEA, ""),
		tlv(0xEA, "\x01vpce-1"), tlv(0xEA, "\x01vpce-2"), tlv(0x20, ssl), tlv(0x05, ""))), nil, defaultMaxHeader)
	require.NoError(t, err)
	assert.Equal(t, "a.example", h.Authority())
	assert.Equal(t, "vpce-1", h.VPCEndpoint())
	got, ok := h.SSL()
	assert.True(t, ok)
	assert.Equal(t, SSL{true, true, true, "TLSv1.3", "AES", "client.example", "SHA256", "RSA2048"}, got)
	value, ok := h.TLV(TLVUniqueID)
	assert.True(t, ok, "empty, but there")
	assert.Empty(t, value)
	for _, kind := range []TLVType{TLVALPN, tlvCRC32C, tlvNOOP, TLVNetNS} {
		_, ok = h.TLV(kind)
		assert.False(t, ok, "%#x", kind)
	}
	for range h.TLVs() {
		break // and nothing panics
	}
}

// A certificate counts as verified only if there was one and it was.
func TestSSLVerified(t *testing.T) {
	for flags, want := range map[string]SSL{
		"\x00\x00\x00\x00\x00": {},
		"\x01\x00\x00\x00\x00": {Used: true},
		"\x03\x00\x00\x00\x00": {Used: true, Certificate: true, Verified: true},
		"\x05\x00\x00\x00\x00": {Used: true, Certificate: true, Verified: true},
		"\x03\x00\x00\x00\x01": {Used: true, Certificate: true},
		"\x01\x00\x00\x00\x01": {Used: true},
	} {
		h, _, err := read(bytes.NewReader(v2(0x21, 0x11, tcp4, tlv(0x20, flags))), nil, defaultMaxHeader)
		require.NoError(t, err)
		got, ok := h.SSL()
		assert.True(t, ok)
		assert.Equal(t, want, got, "%x", flags)
	}
	_, ok := Header{}.SSL()
	assert.False(t, ok)
}

func TestAWSEndpoint(t *testing.T) {
	h, _, err := read(bytes.NewReader(hexBytes(t, awsPrivateLink)), nil, defaultMaxHeader)
	require.NoError(t, err)
	assert.Equal(t, "vpce-08d2bf15fac5001c9", h.VPCEndpoint())
	damaged := hexBytes(t, awsPrivateLink)
	damaged[len(damaged)-1] ^= 1 // in the padding, which only the checksum guards
	_, _, err = read(bytes.NewReader(damaged), nil, defaultMaxHeader)
	assert.Equal(t, badChecksum, err)
}

// Every reason has its word, its sentence and its fix, and no two share a word.
func TestRefusals(t *testing.T) {
	seen := map[string]bool{}
	for why := noHeader; int(why) < len(refusals); why++ {
		r := refusals[why]
		assert.NotEmpty(t, r.word)
		assert.NotEmpty(t, r.fix)
		assert.Equal(t, r.text, why.Error())
		assert.False(t, seen[r.word], r.word)
		seen[r.word] = true
	}
	assert.Len(t, refusals, int(badChecksum)+1)
}
