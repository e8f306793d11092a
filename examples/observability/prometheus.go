package main

import "github.com/prometheus/client_golang/prometheus"

// A collector shows Prometheus everything, read anew at each scrape.
type collector struct{ *service }

// Describe tells the registry what may come, so that it refuses a second
// collector of the same names.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range everything {
		to <- m.desc()
	}
}

// Collect is called for each scrape, concurrently too.
func (c collector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.samples() {
		kind := prometheus.GaugeValue
		if s.counter {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(s.desc(), kind, s.value, s.labels...)
	}
}

func (m *metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.prometheus(), m.help, m.labels, nil)
}
