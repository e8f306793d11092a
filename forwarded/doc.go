// Package forwarded finds out who the client of a request is, which scheme,
// host and port it used, and how well that is known, for services behind
// proxies that say so in headers anybody can write.
//
// # Hops
//
// Addresses do not decide what is forgeable; what each proxy does with each
// header does. So the unit of configuration is a [Hop]: where one proxy
// connects from, and whether it sets, appends, passes or drops the headers of
// each kind. Hops are listed nearest first, and each is used at most once:
//
//	hops, err := forwarded.Behind(
//		forwarded.Nginx("127.0.0.1"),
//		forwarded.ALB("10.0.16.0/20", "10.0.32.0/20"),
//	)
//	http.ListenAndServe("127.0.0.1:8080", hops.Wrap(mux))
//
// [New] compiles the topology into fixed positions from the right end of each
// header. A request is then followed from the socket outwards, hop by hop, and
// nothing further left than the last hop's own word is ever looked at. The
// plain list of trusted proxies is the case of one hop: [Trusted].
//
// # Answers
//
// Handlers read an [Info]. What it does not know it says: an unknown client is
// an invalid address, which lies in no prefix, and an unknown scheme is not
// http. Each answer has a [Reason], the same word in logs, metrics and on the
// page that [Policy.ExplainHandler] shows.
//
// # What next never sees
//
// [Policy.Wrap] removes every forwarding header that nobody vouched for, its
// aliases (X_Forwarded_For) and its trailers, and cuts lists to the entries
// that were used, so that code further in which believes too much cannot be
// fooled.
//
// # Limits
//
// The number of hops is a promise: a proxy that is not declared is taken for
// the client. A client whose address lies in the range of a hop that it skips
// can choose what comes next; [Policy.Lint] names ranges that overlap.
package forwarded
