package objective

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"

	tf "github.com/galeone/tensorflow/tensorflow/go"
	"github.com/galeone/tensorflow/tensorflow/go/op"
	blas "gonum.org/v1/gonum/blas/gonum"

	"galaxy/internal/usage"
)

// VICReg is the name of the loss that Pairs describes.
const VICReg = "vicreg"

// Pairs is the loss of a network that learns without labels, from two views of each image. The zero
// value is none. The one kind is VICReg (Bardes, Ponce & LeCun 2022, arXiv 2105.04906, eq. 1 to 6). Of the
// embeddings z and z′ of n images, [n, d], it is
//
//	Invariance · mean((z − z′)²) + Variance · (v(z) + v(z′))/2 + Covariance · (c(z) + c(z′))
//
//	v(z) = mean over columns j of max(0, 1 − √(C_jj + 10⁻⁴))
//	c(z) = Σ over i ≠ j of C_ij² / d
//
// with C the covariance of the columns, whose denominator is n − 1. The first term makes the views of a galaxy
// alike. The second keeps the embeddings of different galaxies apart, so that they cannot collapse to a
// point, and the third keeps the columns from repeating each other. The means over columns in the first
// term and the half in the second are those of the authors' code, to which their weights belong.
type Pairs struct {
	// Loss is VICReg.
	Loss string `json:"loss"`
	// Invariance, Variance and Covariance are the weights of the terms, at least 0.
	Invariance float64 `json:"invariance"`
	Variance   float64 `json:"variance"`
	Covariance float64 `json:"covariance"`
}

// pairEpsilon is added to variances (ε in eq. 1).
const pairEpsilon = 1e-4

// DefaultPairs returns VICReg with the weights of the paper.
func DefaultPairs() Pairs {
	return Pairs{Loss: VICReg, Invariance: 25, Variance: 25, Covariance: 1}
}

// IsSet reports whether there is such a loss.
func (p Pairs) IsSet() bool { return p != Pairs{} }

// Validate checks every field of a loss that is set; its errors are usage.Fields.
func (p Pairs) Validate() error {
	if !p.IsSet() {
		return nil
	}
	var errs []error
	if p.Loss != VICReg {
		errs = append(errs, &usage.Field{Name: "loss", Got: p.Loss, Expected: VICReg})
	}
	for _, w := range []struct {
		name  string
		value float64
	}{{"invariance", p.Invariance}, {"variance", p.Variance}, {"covariance", p.Covariance}} {
		if !(w.value >= 0) || math.IsInf(w.value, 0) {
			errs = append(errs, &usage.Field{Name: w.name, Got: w.value, Expected: "a weight of 0 or more"})
		}
	}
	if p.Invariance == 0 || p.Variance == 0 {
		errs = append(errs, errors.New("without invariance the views of a galaxy need not be alike, and without variance all galaxies may get the same embedding: expected weights above 0"))
	}
	return errors.Join(errs...)
}

// String returns the loss and its weights.
func (p Pairs) String() string {
	return fmt.Sprintf("%s (invariance %v, variance %v, covariance %v)", p.Loss, p.Invariance, p.Variance, p.Covariance)
}

// Graph adds the loss of a batch to the graph and returns it, float32 []. first and second are float32 [n, d], n at
// least 2. Other dtypes and shapes are errors in the scope. It is a graph.Loss.
func (p Pairs) Graph(s *op.Scope, first, second tf.Output) tf.Output {
	s = s.SubScope("vicreg")
	n, d, ok := checkPairs(s, first, second)
	if !ok {
		return tf.Output{}
	}
	at := s.SubScope
	scaled := func(name string, x tf.Output, factor float64) tf.Output {
		return op.Mul(at(name), x, op.Const(at(name+"_weight"), float32(factor)))
	}
	apart := sumOf(at("invariance"), op.SquaredDifference(at("difference"), first, second))
	terms := []tf.Output{scaled("invariance_term", apart, p.Invariance/float64(n*d))}
	for _, z := range []tf.Output{first, second} {
		variance, covariance := columnTerms(at("columns"), z, n, d)
		terms = append(terms, scaled("variance_term", variance, p.Variance/2/float64(d)), scaled("covariance_term", covariance, p.Covariance/float64(d)))
	}
	if s.Err() != nil {
		return tf.Output{}
	}
	// Not AddN: its order of summation changes from one session to the next.
	return op.Sum(at("loss"), op.Pack(at("terms"), terms), op.Const(at("axis"), int32(0)))
}

// columnTerms returns d·v(z) and d·c(z) of Pairs, float32 [].
func columnTerms(s *op.Scope, z tf.Output, n, d int64) (variance, covariance tf.Output) {
	at := s.SubScope
	rows := op.Const(at("rows"), int32(0))
	centred := op.Sub(at("centred"), z, op.Mean(at("mean"), z, rows, op.MeanKeepDims(true)))
	diagonal := op.Mul(at("diagonal"), op.Sum(at("squares"), op.Square(at("square"), centred), rows), op.Const(at("denominator"), float32(1/float64(n-1))))
	deviation := op.Sqrt(at("deviation"), op.AddV2(at("plus"), diagonal, op.Const(at("epsilon"), float32(pairEpsilon))))
	variance = sumOf(at("variance"), op.Relu(at("missing"), op.Sub(at("below"), op.Const(at("one"), float32(1)), deviation)))
	// ‖zᵀz‖² = ‖zzᵀ‖² over all elements: the smaller product is enough.
	wide := d > n
	product := op.MatMul(at("product"), centred, centred, op.MatMulTransposeA(!wide), op.MatMulTransposeB(wide))
	product = op.Mul(at("covariances"), product, op.Const(at("denominator"), float32(1/float64(n-1))))
	all := sumOf(at("all"), op.Square(at("covariances_squared"), product))
	return variance, op.Sub(at("covariance"), all, sumOf(at("own"), op.Square(at("variances_squared"), diagonal)))
}

// sumOf returns the sum of all elements of x, float32 [].
func sumOf(s *op.Scope, x tf.Output) tf.Output {
	if s.Err() != nil {
		return tf.Output{}
	}
	flat := op.Reshape(s.SubScope("flat"), x, op.Const(s.SubScope("shape"), []int32{-1}))
	return op.Sum(s, flat, op.Const(s.SubScope("axis"), int32(0)))
}

// checkPairs returns the shape [n, d] of both embeddings, and leaves an error in the scope if it is none.
func checkPairs(s *op.Scope, first, second tf.Output) (n, d int64, ok bool) {
	for _, x := range []tf.Output{first, second} {
		switch {
		case s.Err() != nil:
		case x.Op == nil:
			s.UpdateErr("pairs", errors.New("embeddings are no output of any operation"))
		case x.DataType() != tf.Float:
			s.UpdateErr("pairs", fmt.Errorf("embeddings have data type %d; expected float32 (%d)", x.DataType(), tf.Float))
		default:
			shape, err := x.Shape().ToSlice()
			if err != nil || len(shape) != 2 || shape[0] < 2 || shape[1] < 1 || n != 0 && (shape[0] != n || shape[1] != d) {
				s.UpdateErr("pairs", fmt.Errorf("embeddings have the shape %v; expected [n, d] of at least two images, the same for both views", x.Shape()))
				break
			}
			n, d = shape[0], shape[1]
		}
	}
	return n, d, s.Err() == nil
}

// EmbeddingScores describe the embeddings of both views of a set of images.
type EmbeddingScores struct {
	Examples int `json:"examples"`
	// Loss is the loss of all images as one batch. Its other terms are Pairs' without their weights.
	Loss       float64 `json:"loss"`
	Invariance float64 `json:"invariance"`
	Variance   float64 `json:"variance"`
	Covariance float64 `json:"covariance"`
	// Std is the standard deviation of a column over the images, a mean over columns and views: 0 if all
	// galaxies have the same embedding. The loss asks for 1.
	Std float64 `json:"std"`
	// Rank is the effective number of dimensions of the embeddings, 1 to their width, a mean over views: (Σλ)²/Σλ² of
	// the eigenvalues λ of their covariance. It is 1 if they lie on a line, and 0 if on a point.
	Rank float64 `json:"rank"`
}

// Scores computes the loss in float64 for the embeddings of n ≥ 2 images, each [n, width] in row-major
// order, and what shows a collapse.
func (p Pairs) Scores(first, second []float32, width int) (EmbeddingScores, error) {
	n := 0
	if width > 0 {
		n = len(first) / width
	}
	if n < 2 || len(first) != n*width || len(second) != len(first) {
		return EmbeddingScores{}, fmt.Errorf("%d and %d values of embeddings of width %d: expected the same number for both views of at least two images", len(first), len(second), width)
	}
	e := EmbeddingScores{Examples: n}
	for i, x := range first {
		apart := float64(x) - float64(second[i])
		e.Invariance += apart * apart / float64(len(first))
	}
	for _, z := range [][]float32{first, second} {
		c := columnScores(z, n, width)
		e.Variance += c.Variance / 2
		e.Covariance += c.Covariance
		e.Std += c.Std / 2
		e.Rank += c.Rank / 2
	}
	e.Loss = p.Invariance*e.Invariance + p.Variance*e.Variance + p.Covariance*e.Covariance
	return e, nil
}

// columnScores returns the terms of one view.
func columnScores(z []float32, n, d int) (e EmbeddingScores) {
	columns := make([][]float64, d) // centred
	for j := range columns {
		column, mean := make([]float64, n), 0.0
		for i := range column {
			column[i] = float64(z[i*d+j])
			mean += column[i] / float64(n)
		}
		for i := range column {
			column[i] -= mean
		}
		columns[j] = column
	}
	covariance := func(i, j int) float64 {
		return blas.Implementation{}.Ddot(n, columns[i], 1, columns[j], 1) / float64(n-1)
	}
	trace, own, others := 0.0, 0.0, make([]float64, d) // sums of squares; others above the diagonal, by row
	for j := range d {
		c := covariance(j, j)
		trace, own = trace+c, own+c*c
		e.Std += math.Sqrt(c) / float64(d)
		e.Variance += max(0, 1-math.Sqrt(c+pairEpsilon)) / float64(d)
	}
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wait.Go(func() {
			for i := w; i < d; i += workers {
				for j := i + 1; j < d; j++ {
					c := covariance(i, j)
					others[i] += c * c
				}
			}
		})
	}
	wait.Wait()
	all := own
	for _, x := range others {
		e.Covariance += 2 * x / float64(d)
		all += 2 * x
	}
	if all > 0 {
		e.Rank = trace * trace / all
	}
	return e
}
