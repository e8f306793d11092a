package hostport

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// ranges is a set of addresses that answers in a time which hardly depends on
// its size: sorted, merged intervals, for IPv4 with an index by first octet.
type ranges struct {
	v4    []interval[uint32]
	index [257]uint32 // v4[index[b]:] is where intervals that end at b.0.0.0 or later begin
	v6    []interval[uint128]
}

type interval[T any] struct{ first, last T }

type uint128 struct{ hi, lo uint64 }

func (u uint128) compare(v uint128) int {
	if c := cmp.Compare(u.hi, v.hi); c != 0 {
		return c
	}
	return cmp.Compare(u.lo, v.lo)
}

func (u uint128) next() uint128 {
	if u.lo++; u.lo == 0 {
		u.hi++
	}
	return u
}

func bits4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func bits6(a netip.Addr) uint128 {
	b := a.As16()
	return uint128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// newRanges compiles masked prefixes.
func newRanges(prefixes []netip.Prefix) *ranges {
	r := &ranges{}
	for _, p := range prefixes {
		if p.Addr().Is4() {
			first := bits4(p.Addr())
			r.v4 = append(r.v4, interval[uint32]{first, first | uint32(1<<(32-p.Bits())-1)})
			continue
		}
		first := bits6(p.Addr())
		r.v6 = append(r.v6, interval[uint128]{first, lastOf(first, p.Bits())})
	}
	r.v4 = merge(r.v4, cmp.Compare[uint32], func(u uint32) uint32 { return u + 1 })
	r.v6 = merge(r.v6, uint128.compare, uint128.next)
	n := 0
	for b := range r.index {
		for n < len(r.v4) && b < 256 && r.v4[n].last < uint32(b)<<24 {
			n++
		}
		r.index[b] = uint32(n)
	}
	r.index[256] = uint32(len(r.v4))
	return r
}

func lastOf(first uint128, bits int) uint128 {
	last := first
	if bits < 64 {
		last.hi |= ^uint64(0) >> bits
		last.lo = ^uint64(0)
	} else if bits < 128 {
		last.lo |= ^uint64(0) >> (bits - 64)
	}
	return last
}

// merge sorts intervals and joins those that overlap or touch. The intervals
// come from prefixes, so a last value that has no successor ends the space.
func merge[T any](list []interval[T], compare func(a, b T) int, next func(T) T) []interval[T] {
	slices.SortFunc(list, func(a, b interval[T]) int { return compare(a.first, b.first) })
	out := list[:0]
	for _, iv := range list {
		if n := len(out); n > 0 && joins(out[n-1], iv, compare, next) {
			if compare(iv.last, out[n-1].last) > 0 {
				out[n-1].last = iv.last
			}
			continue
		}
		out = append(out, iv)
	}
	return slices.Clip(out)
}

// joins reports whether b, which begins no earlier than a, overlaps or touches a.
func joins[T any](a, b interval[T], compare func(a, b T) int, next func(T) T) bool {
	return compare(b.first, a.last) <= 0 || compare(b.first, next(a.last)) == 0
}

func (r *ranges) has4(u uint32) bool {
	lo, hi := r.index[u>>24], r.index[u>>24+1]
	if hi < uint32(len(r.v4)) {
		hi++ // the interval that covers b.255.255.255 may end in a later octet
	}
	for hi-lo > 4 {
		mid := (lo + hi) / 2
		if r.v4[mid].last < u {
			lo = mid + 1
		} else {
			hi = mid + 1
		}
	}
	for _, iv := range r.v4[lo:hi] {
		if u <= iv.last {
			return u >= iv.first
		}
	}
	return false
}

func (r *ranges) has6(u uint128) bool {
	lo, hi := 0, len(r.v6)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if r.v6[mid].last.compare(u) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(r.v6) && r.v6[lo].first.compare(u) <= 0
}
