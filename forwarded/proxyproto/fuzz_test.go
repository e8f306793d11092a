package proxyproto

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"
)

// agree reads b in one piece and byte by byte, and asks the reference.
func agree(t *testing.T, b []byte, limit int) {
	want := reference(b, limit)
	r := bytes.NewReader(b)
	h, got, err := read(r, nil, limit)
	consumed := len(b) - r.Len()
	if consumed != len(got) || !bytes.Equal(got, b[:consumed]) {
		t.Fatalf("%q: %d bytes read, %d returned", b, consumed, len(got))
	}
	switch {
	case want == nil && err == nil:
		t.Fatalf("%q: %+v, but the reference refuses it", b, h)
	case want != nil && (err != nil || asReference(h, consumed) != *want):
		t.Fatalf("%q: %+v, %v; the reference reads %+v", b, asReference(h, consumed), err, *want)
	}
	h2, _, err2 := read(iotest.OneByteReader(bytes.NewReader(b)), nil, limit)
	if (err == nil) != (err2 == nil) || err == nil && asReference(h2, consumed) != asReference(h, consumed) {
		t.Fatalf("%q byte by byte: %+v, %v; in one piece %+v, %v", b, h2, err2, h, err)
	}
	if consumed > limit && consumed > fixedV2+2*pathLen {
		t.Fatalf("%q: %d bytes read, %d permitted", b, consumed, limit)
	}
	if err == nil {
		cutAnywhere(t, b[:consumed], limit)
	}
}

// cutAnywhere requires that the beginning of a header is never an answer.
func cutAnywhere(t *testing.T, b []byte, limit int) {
	for i := range min(len(b), 300) {
		if _, _, err := read(bytes.NewReader(b[:i]), nil, limit); err != io.EOF {
			t.Fatalf("%q, cut at %d: %v", b, i, err)
		}
	}
}

func FuzzV1(f *testing.F) {
	for _, v := range legalHeaders(f) {
		if v.bytes[0] == 'P' {
			f.Add(string(v.bytes[len(startV1):]), "")
			f.Add(string(v.bytes[len(startV1):]), "GET / HTTP/1.1\r\n")
		}
	}
	for _, v := range illegalHeaders() {
		if bytes.HasPrefix(v.bytes, []byte(startV1)) {
			f.Add(string(v.bytes[len(startV1):]), "")
		}
	}
	f.Fuzz(func(t *testing.T, line, behind string) {
		agree(t, []byte(startV1+line+behind), defaultMaxHeader)
		agree(t, []byte(startV1+line+"\r\n"+behind), defaultMaxHeader)
		agree(t, []byte(line+behind), defaultMaxHeader)
	})
}

func FuzzV2(f *testing.F) {
	add := func(b []byte) {
		if len(b) >= fixedV2 && b[0] == '\r' {
			f.Add(b[12], b[13], b[fixedV2:], []byte("GET"), uint16(len(b)))
		}
	}
	for _, v := range legalHeaders(f) {
		add(v.bytes)
	}
	for _, v := range illegalHeaders() {
		add(v.bytes)
	}
	f.Fuzz(func(t *testing.T, command, family byte, block, behind []byte, limit uint16) {
		block = block[:min(len(block), 1<<16-1)]
		b := append(v2(command, family, block), behind...)
		agree(t, b, defaultMaxHeader)
		agree(t, b, max(minMaxHeader, int(limit)))
		withSum := v2(command, family, block, zeroSum)
		if len(block) < 1<<15 {
			agree(t, sealed(withSum), defaultMaxHeader)
		}
		binary.BigEndian.PutUint16(b[14:], limit) // a length that does not match
		agree(t, b, defaultMaxHeader)
	})
}

func FuzzAnything(f *testing.F) {
	for _, v := range legalHeaders(f) {
		f.Add(v.bytes)
	}
	for _, v := range illegalHeaders() {
		f.Add(v.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) { agree(t, b, defaultMaxHeader) })
}
