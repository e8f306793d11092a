package proxyproto

import (
	"encoding/binary"
	"net/netip"
)

// Section 2.2 of the specification: version 2 is 16 bytes, addresses and
// extensions.
const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	fixedV2   = len(signature) + 4
)

// The commands and the families with their transports.
const (
	commandLocal = 0x20
	commandProxy = 0x21

	familyUnspec   = 0x00
	familyTCP4     = 0x11
	familyUDP4     = 0x12
	familyTCP6     = 0x21
	familyUDP6     = 0x22
	familyUnix     = 0x31
	familyUnixgram = 0x32
)

// pathLen is the length of each of the two names in a header of family UNIX.
const pathLen = 108

// familyV2 says how many bytes the addresses of a family take and what they
// are called in package net.
func familyV2(family byte) (addresses int, network string, ok bool) {
	switch family {
	case familyUnspec:
		return 0, "", true
	case familyTCP4:
		return 2 * (4 + 2), "tcp", true
	case familyUDP4:
		return 2 * (4 + 2), "udp", true
	case familyTCP6:
		return 2 * (16 + 2), "tcp", true
	case familyUDP6:
		return 2 * (16 + 2), "udp", true
	case familyUnix:
		return 2 * pathLen, "unix", true
	case familyUnixgram:
		return 2 * pathLen, "unixgram", true
	}
	return 0, "", false
}

// missingV2 is missing for bytes that begin with a carriage return.
func missingV2(b []byte, limit int) (int, error) {
	if !begins(b, signature) {
		return 0, noHeader
	}
	if len(b) < shortestV1 {
		return shortestV1 - len(b), nil
	}
	addresses, err := shapeV2(b[12], b[13])
	if err != nil {
		return 0, err
	}
	if len(b) < fixedV2 {
		return fixedV2 - len(b) + addresses, nil // a shorter header is refused, so nobody misses what is read
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case length < addresses:
		return 0, badLength
	case fixedV2+length > limit:
		return 0, tooLong
	}
	return fixedV2 + length - len(b), nil
}

// shapeV2 judges command and family, and returns how many bytes of addresses
// must follow. After LOCAL, neither family nor addresses mean anything: AWS
// announces TCP over IPv4 and sends no addresses.
func shapeV2(command, family byte) (addresses int, err error) {
	switch command {
	case commandLocal:
		return 0, nil
	case commandProxy:
		addresses, _, ok := familyV2(family)
		if !ok {
			return 0, badFamily
		}
		return addresses, nil
	}
	if command>>4 != 2 {
		return 0, badVersion
	}
	return 0, badCommand
}

// parseV2 reads a header that missingV2 found complete. What Header keeps of it
// is part of b.
func parseV2(b []byte) (h Header, err error) {
	h.Version = 2
	if b[12] == commandLocal {
		h.Local = true
		return h, nil
	}
	addresses, network, _ := familyV2(b[13])
	h.Network = network
	block, tlvs := b[fixedV2:fixedV2+addresses], b[fixedV2+addresses:]
	switch b[13] {
	case familyTCP4, familyUDP4:
		h.Source = addrPort(netip.AddrFrom4([4]byte(block)), block[8:])
		h.Destination = addrPort(netip.AddrFrom4([4]byte(block[4:])), block[10:])
	case familyTCP6, familyUDP6:
		h.Source = addrPort(netip.AddrFrom16([16]byte(block)), block[32:])
		h.Destination = addrPort(netip.AddrFrom16([16]byte(block[16:])), block[34:])
	case familyUnix, familyUnixgram:
		h.paths = block
	}
	if err := checkTLVs(b, len(b)-len(tlvs)); err != nil {
		return Header{}, err
	}
	h.tlvs = tlvs
	return h, nil
}

func addrPort(addr netip.Addr, port []byte) netip.AddrPort {
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(port))
}
