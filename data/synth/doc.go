// Package synth makes a data set of simulated galaxies in the layout of the
// Kaggle Galaxy Zoo challenge, so that everything that works on the real data
// can be tried, tested and shown without it.
//
// Generate is the whole interface: Config in, a folder with images, 424×424 JPEGs by default, and
// a labels file out. Galaxy i is a pure function of (Seed, i): the same bytes
// for any number of workers and any Count, with one Go release on one
// architecture. (Elsewhere the last bit of a floating-point result may
// differ, and with it a few pixels or votes.)
//
// # A galaxy
//
// Each galaxy is drawn in three independent steps, each with its own stream
// of random numbers.
//
// The truth (morphology.go). A galaxy is elliptical or lenticular, a disk, or
// irregular; a few targets are no galaxies at all. A body is a bulge with a
// Sérsic profile (Sérsic 1963; Graham & Driver 2005), I(r) = I_e
// exp(-b_n((r/r_e)^(1/n) - 1)), boxy isophotes where wanted, and an
// exponential disk seen at an inclination: circles turned into ellipses, or a
// sech² layer with an optional dust lane where the disk is edge-on. The disk
// carries logarithmic spiral arms (number, pitch angle, contrast, sharpness),
// a bar from whose ends two-armed patterns start, a ring, clumps and
// star-forming knots. Bulge fraction, pitch angle, young stars and colours follow
// the stage along Hubble's sequence. Mergers, tidal tails, gravitational arcs,
// dust lanes, foreground stars and satellite trails are what is odd. Two
// stellar populations give each body its colours.
//
// The image (render.go, scenery.go, develop.go). The scene is painted on
// the survey's detector grid (0.396 arc seconds a pixel) among neighbouring
// stars and galaxies, blurred with the seeing, given the noise of sky and
// photons, stretched with the colour-preserving asinh of Lupton et al. (2004), compressed
// and enlarged so that the radius with 90 % of the light takes 50 pixels, as
// the challenge's images are. So a galaxy of small angular size is as large as
// any other in its image, but blurred and coarse-grained.
//
// The labels (volunteers.go). 32 to 56 volunteers walk the question tree of
// Galaxy Zoo 2 (Willett et al. 2013). What is left of each feature after
// inclination, seeing and noise is its evidence; evidence sets the odds of
// each answer; each volunteer has a bias towards seeing features and oddities,
// a skill, and now and then a slip of the finger (Lintott et al. 2008 discuss
// such biases). The columns are fractions of all volunteers, so they are
// multiplied down the path already; those of questions 6 and 8 are fractions of
// those who reached question 6, which volunteers who see a star or an artifact
// do not. All eleven sum rules hold to rounding.
//
// Asked another schema's questions (survey.go), volunteers answer by the same evidence: a question
// of a Galaxy Zoo campaign is known by its name, and any other has made-up odds.
//
// The numbers in the model are fitted to the real catalogue: means and spreads
// of the 37 columns, fraction of the largest column, size, brightness, noise and
// colours of the images. docs/synth.md has the comparison.
//
// # What it is not
//
// It is no survey simulation: no redshifts, no luminosity function, no
// clustering, no radiative transfer, one point spread for all colours. A model
// trained on it is not a galaxy classifier, and a score on it says how well
// training works, not how well galaxies are classified.
//
// # References
//
//   - Ciotti & Bertin 1999, A&A 352, 447: b_n of the Sérsic profile.
//   - Graham & Driver 2005, PASA 22, 118: the Sérsic profile.
//   - Lintott et al. 2008, MNRAS 389, 1179: Galaxy Zoo.
//   - Lupton et al. 2004, PASP 116, 133: colour images with an asinh stretch.
//   - Sérsic 1963, Boletín de la Asociación Argentina de Astronomía 6, 41.
//   - Willett et al. 2013, MNRAS 435, 2835: Galaxy Zoo 2, the question tree.
package synth
