// Package fits reads images and binary tables of FITS files, the format of astronomers. It
// follows the FITS standard 4.0 (https://fits.gsfc.nasa.gov/fits_standard.html); its values
// are those of astropy.io.fits, bit for bit.
//
// # Use
//
// Open reads the headers of all HDUs (header and data units) and no pixels:
//
//	file, err := fits.Open(r, size, 1<<30) // an io.ReaderAt: an os.File or a bytes.Reader
//	hdu, err := file.First(fits.Image)     // or choose from file.HDUs by Name
//	width, height, planes, err := hdu.Shape()
//	pixels, err = hdu.ReadPlane(pixels, 0) // reuses the slice
//
// A table is read row by row, a megabyte at a time:
//
//	hdu, err := file.First(fits.Table)
//	table, err := hdu.Table()
//	for row := range table.Rows {
//		text, err := table.Text(row, 0) // the first of table.Columns
//	}
//
// The reader has to stay open and unchanged meanwhile. HDUs may be read by several goroutines
// at once; a Table by one.
//
// AppendImage writes images.
//
// # What is read
//
// Files as they are, and compressed by gzip or bzip2, which the first bytes show. Images of
// every BITPIX with BSCALE, BZERO and BLANK, in the primary HDU, in IMAGE extensions and
// compressed in tiles (RICE_1, GZIP_1, GZIP_2, PLIO_1, NOCOMPRESS, quantised floating point
// with and without dithering). Binary tables with columns of the forms L, X, B, I, J, K, A, E
// and D. Table.Skipped names the columns of other forms.
//
// Errors name what is rejected: HCOMPRESS_1, ASCII tables, tables compressed in tiles, random
// groups.
//
// # Orientation
//
// ReadPlane returns the rows in the order of the file, as astropy does: pixels[y*width+x] is
// astropy's data[y, x], and row 0 is the bottom one by FITS' convention. A program that shows an
// image starts with the last row, as DS9 does. A program that compares pixels with astropy, or
// looks up a catalogue's positions, uses the order as it is. The package does not choose for them.
//
// # Errors
//
// Errors say the HDU, the card or the byte of the (expanded) file, what was expected and what
// came. Nothing panics on untrusted bytes. No buffer is larger than the limit given to Open,
// whatever a header says.
package fits
