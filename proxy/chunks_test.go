package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dechunked decodes coded, which comes in pieces of the sizes that cuts says in
// turn, into the memory that it came in, as a call does.
func dechunked(coded []byte, cuts []byte) (data, tail, rest []byte, err error) {
	var d chunkDecoder
	for i := 0; len(coded) > 0 || i == 0; i++ {
		n := len(coded)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)])%64+1)
		}
		piece := bytes.Clone(coded[:n])
		coded = coded[n:]
		for len(piece) > 0 && err == nil {
			var consumed, written int
			consumed, written, err = d.decode(piece, piece)
			data = append(data, piece[:written]...)
			piece = piece[consumed:]
		}
		if err != nil {
			return data, d.tail, append(bytes.Clone(piece), coded...), err
		}
	}
	return data, d.tail, nil, io.ErrUnexpectedEOF
}

func TestChunks(t *testing.T) {
	for _, row := range []struct{ coded, data, tail, rest string }{
		{"0\r\n\r\n", "", "", ""},
		{"5\r\nhello\r\n0\r\n\r\n", "hello", "", ""},
		{"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nrest", "hello world", "", "rest"},
		{"000000005\r\nhello\r\n0000\r\n\r\n", "hello", "", ""},
		{"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", "", ""},
		{"5;name=value;other=\"a b\"\r\nhello\r\n0;last\r\n\r\n", "hello", "", ""},
		{"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", ""},
		{"0\r\nA: b\r\nC: d\r\n\r\n", "", "A: b\r\nC: d\r\n", ""},
	} {
		for _, cuts := range []string{"", "\x00", "\x01", "\x02\x00\x05"} {
			data, tail, rest, err := dechunked([]byte(row.coded), []byte(cuts))
			assert.Equal(t, io.EOF, err, "%q", row.coded)
			assert.Equal(t, row.data, string(data))
			assert.Equal(t, row.tail, string(tail))
			assert.Equal(t, row.rest, string(rest), "nothing behind the end is touched")
		}
	}
}

func TestChunksRefused(t *testing.T) {
	long := strings.Repeat("x", maxChunkLine)
	for _, coded := range []string{
		"\r\n", "x\r\n", "-1\r\n", "+1\r\n", "0x5\r\nhello\r\n", " 5\r\nhello\r\n", "5 5\r\nhello\r\n", "5\r5\r\n", "5\nhello\n0\n\n",
		"5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello!\r\n", "5\r\nhello\r0\r\n", "5\r\nhello\r\n0\n\r\n",
		"5\r\nhello\r\n0\r\nA: b\n\r\n", "5;a\x00\r\nhello\r\n", "5;a\nb\r\nhello\r\n", "1000000000000000\r\n", "0000000000000000\r\n",
		"5;" + long + "\r\nhello\r\n", "0\r\nA: " + strings.Repeat("x", maxTrailers) + "\r\n\r\n", "0\r\n" + strings.Repeat("A: b\r\n", maxTrailers/6+1) + "\r\n",
	} {
		for _, cuts := range []string{"", "\x00"} {
			_, _, _, err := dechunked([]byte(coded), []byte(cuts))
			assert.ErrorIs(t, err, errMalformed, "%.60q", coded)
		}
	}
}

// An unfinished body is no error of the decoder: more may come.
func TestChunksUnfinished(t *testing.T) {
	const coded = "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"
	for n := range len(coded) {
		data, _, _, err := dechunked([]byte(coded[:n]), nil)
		assert.Equal(t, io.ErrUnexpectedEOF, err, "%q", coded[:n])
		assert.True(t, strings.HasPrefix("hello", string(data)))
	}
}

// Data goes before what is still coded, in the same memory, as a call has it
// after a part was decoded: dst begins before src.
func TestChunksInPlace(t *testing.T) {
	const coded = "3\r\nabc\r\n4\r\ndefg\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
	for gap := range 4 {
		memory := append(bytes.Repeat([]byte{'#'}, gap), coded...)
		var d chunkDecoder
		consumed, written, err := d.decode(memory, memory[gap:])
		assert.Equal(t, io.EOF, err)
		assert.Equal(t, len(coded), consumed)
		assert.Equal(t, "abcdefg0123456789abcdef", string(memory[:written]))
	}
}

// Lines that carry next to nothing are a way to keep a proxy busy for a byte
// of body (CVE-2023-39326); net/http allows 16 KiB of them beyond the usual.
func TestCVE202339326ChunkExtensions(t *testing.T) {
	coded := strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\na\r\n", 1000) + "0\r\n\r\n"
	_, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(coded)))
	require.Error(t, err, "net/http's")
	_, _, _, err = dechunked([]byte(coded), nil)
	assert.ErrorIs(t, err, errMalformed)
}

func FuzzChunks(f *testing.F) {
	for _, coded := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n", "5 ;a\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n5 \r\nworld\r\n0\r\n\r\n",
		"5\nhello\n0\n\n", "fffffffffffffff\r\n", "0000000000000001\r\na\r\n0\r\n\r\n", "1\r\na\r\n00\r\n\r\nGET / HTTP/1.1\r\n\r\n", "1;\r\na\r\n0;\r\n\r\n",
	} {
		f.Add([]byte(coded), []byte{})
		f.Add([]byte(coded), []byte{0, 3, 1})
	}
	f.Fuzz(func(t *testing.T, coded, cuts []byte) {
		data, tail, rest, err := dechunked(coded, nil)
		again, tailAgain, _, errAgain := dechunked(coded, cuts)
		if (err == io.EOF) != (errAgain == io.EOF) || errors.Is(err, errMalformed) != errors.Is(errAgain, errMalformed) ||
			!bytes.Equal(data, again) || err == io.EOF && !bytes.Equal(tail, tailAgain) {
			t.Fatalf("at once: %q %q %v\nin pieces: %q %q %v", data, tail, err, again, tailAgain, errAgain)
		}
		if err == io.EOF {
			compareChunks(t, coded, data, rest)
		}
	})
}

// compareChunks has net/http decode what was accepted here.
func compareChunks(t *testing.T, coded, data, rest []byte) {
	ended := coded[:len(coded)-len(rest)]
	theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(ended)))
	if err != nil || !bytes.Equal(theirs, data) {
		t.Fatalf("%q\nhere:     %q\nnet/http: %q %v", ended, data, theirs, err)
	}
}
