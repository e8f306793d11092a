module github.com/knownhops/knownhops

go 1.26
