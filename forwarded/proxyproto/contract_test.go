package proxyproto_test

import (
	"context"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// What others compile against.
var (
	_ func(net.Listener, proxyproto.Config) (*proxyproto.Listener, error) = proxyproto.Listen
	_ func(context.Context) (proxyproto.Header, bool)                     = proxyproto.FromContext
	_ net.Listener                                                        = (*proxyproto.Listener)(nil)

	_ = proxyproto.Config{
		From:               []string(nil),
		DangerouslyAnyPeer: bool(false),
		Timeout:            time.Duration(0),
		MaxHeader:          int(0),
		MaxPending:         int(0),
		Logger:             (*slog.Logger)(nil),
	}

	_ error                   = proxyproto.ConfigErrors(nil)
	_ error                   = proxyproto.ConfigError{}
	_ forwarded.ConfigErrors  = proxyproto.ConfigErrors(nil)
	_ proxyproto.ConfigErrors = []proxyproto.ConfigError(nil)

	_ = proxyproto.Header{
		Transport: forwarded.Transport{Peer: netip.AddrPort{}, Source: netip.AddrPort{}, Destination: netip.AddrPort{}, Local: false},
		Version:   int(0),
		Network:   "",
	}
	_ func(proxyproto.Header) iter.Seq2[proxyproto.TLVType, string]       = proxyproto.Header.TLVs
	_ func(proxyproto.Header, proxyproto.TLVType) (value string, ok bool) = proxyproto.Header.TLV
	_ func(proxyproto.Header) string                                      = proxyproto.Header.Authority
	_ func(proxyproto.Header) string                                      = proxyproto.Header.VPCEndpoint
	_ func(proxyproto.Header) (proxyproto.SSL, bool)                      = proxyproto.Header.SSL
	_ func(proxyproto.Header) (source, destination string)                = proxyproto.Header.Paths

	_ = proxyproto.SSL{Used: false, Certificate: false, Verified: false, Version: "", Cipher: "", CommonName: "", SigAlg: "", KeyAlg: ""}

	_ = [...]proxyproto.TLVType{
		proxyproto.TLVALPN, proxyproto.TLVAuthority, proxyproto.TLVUniqueID, proxyproto.TLVSSL, proxyproto.TLVNetNS,
		proxyproto.TLVGCP, proxyproto.TLVAlibaba, proxyproto.TLVAWS, proxyproto.TLVAzure,
	}
)
