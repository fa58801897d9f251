module tools/source-crds

go 1.26.0

// Only for the CRDs in its zip: source-controller itself links github.com/fluxcd/pkg/artifact, which not every Go proxy serves.
require github.com/fluxcd/source-controller v1.9.5
