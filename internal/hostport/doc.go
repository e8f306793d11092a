// Package hostport holds the grammars that every package of this module must
// read alike: addresses and ports, host names, and the From lists that say who
// may speak.
//
// The parsers of remote input never allocate for well-formed input and are
// strict: what two programs could read differently is refused.
package hostport
