package proxyload

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
)

// As much of WebSocket (RFC 6455) as one unfragmented text message of a known size there and back needs: a message of
// 126 to 65535 bytes has a frame head of two bytes, a length of two, and from the client a mask of four.
const (
	wsKey      = "dGhlIHNhbXBsZSBub25jZQ==" // any 16 bytes will do where no cache stands between (RFC 6455, 4.1)
	wsGUID     = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	wsText     = 0x81 // final frame of a text message
	wsMasked   = 0x80
	wsLength16 = 126
	wsHead     = 4
	wsMask     = 4
)

// wsAccept is the server's answer to the client's key (RFC 6455, 4.2.2).
func wsAccept(key string) string {
	sum := sha1.Sum([]byte(key + wsGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// wsFrame returns a text message as one frame; from the client when masked.
func wsFrame(payload []byte, masked bool) []byte {
	frame := binary.BigEndian.AppendUint16([]byte{wsText, wsLength16}, uint16(len(payload)))
	if !masked {
		return append(frame, payload...)
	}
	mask := []byte{0x5a, 0xa5, 0x3c, 0xc3}
	frame[1] |= wsMasked
	frame = append(frame, mask...)
	return append(frame, unmask(slices.Clone(payload), mask)...)
}

// unmask takes a mask off in place, or puts it on.
func unmask(payload, mask []byte) []byte {
	for i := range payload {
		payload[i] ^= mask[i%wsMask]
	}
	return payload
}

var errFrame = errors.New("not the frame that the load sends")

// readMasked reads the client's message into buf, which it fills.
func readMasked(r io.Reader, buf []byte) error {
	var head [wsHead + wsMask]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if head[0] != wsText || head[1] != wsMasked|wsLength16 || size != len(buf) {
		return errFrame
	}
	if _, err := io.ReadFull(r, buf); err != nil {
		return err
	}
	unmask(buf, head[wsHead:])
	return nil
}

// echo sends every message back as it came, until something else comes.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" {
		http.Error(w, "a WebSocket is spoken here", http.StatusUpgradeRequired)
		return
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Sec-WebSocket-Accept", wsAccept(r.Header.Get("Sec-WebSocket-Key")))
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	echoMessages(conn, rw.Reader)
}

func echoMessages(w io.Writer, r io.Reader) {
	frame := wsFrame(make([]byte, messageSize), false)
	for readMasked(r, frame[wsHead:]) == nil {
		if _, err := w.Write(frame); err != nil {
			return
		}
	}
}
