package proxy

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMatcher(t *testing.T) {
	for _, row := range []struct {
		text    string
		pass    []int
		refused []int
	}{
		{"200", []int{200}, []int{199, 201, 404, 0}},
		{"200,204", []int{200, 204}, []int{201, 203, 205}},
		{"200-299", []int{200, 250, 299}, []int{199, 300, 500}},
		{"200-202,301,599-599", []int{200, 201, 202, 301, 599}, []int{203, 300, 302, 598, 600}},
	} {
		m, reason := parseMatcher(row.text)
		assert.Empty(t, reason, row.text)
		for _, status := range row.pass {
			assert.True(t, m.has(status), "%s: %d", row.text, status)
		}
		for _, status := range row.refused {
			assert.False(t, m.has(status), "%s: %d", row.text, status)
		}
	}
}

func TestMatcherMistakes(t *testing.T) {
	for _, text := range []string{"", ",", "200,", "2xx", "20", "2000", "100", "199", "600", "-", "200-", "-299", "200-299-300",
		"200 ", "200, 204", "+20", "２00", "200;204", "0-999"} {
		_, reason := parseMatcher(text)
		assert.Equal(t, "not a list of statuses from 200 to 599", reason, text)
	}
	_, reason := parseMatcher("299-200")
	assert.Equal(t, "a range that ends before it begins", reason)
}
