// Package table reads tables of labels in the formats that people keep them in. Memory does
// not grow with the number of rows.
//
// # Formats
//
// The format is found in the bytes of the file; its name does not matter.
//
//   - Text: columns between commas, tabs or semicolons, or between runs of blanks if every
//     line has as many of these as the first one. UTF-8 or UTF-16, with or without a byte order
//     mark; lines end with LF, CRLF or CR. Fields may be quoted as in RFC 4180. Lines that start
//     with # are comments. Lines without any cell are skipped.
//   - Parquet: columns of text, integers, floats and booleans. Other columns (nested ones, bytes
//     such as images, dates) are listed by Skipped and cannot be read.
//   - FITS: a binary table, with columns as package fits reads them. If the file has several, the path
//     goes on with the name or number of one: "catalogue.fits/VOTES".
//   - Any of these compressed with gzip, bzip2, zstd or lz4, or in a zip. A path may go on inside
//     of a zip that holds several tables: "votes.zip/votes/gz2.csv".
//
// The first line of a text that is not a comment names the columns. If it has numbers in it, and the
// comment before it has as many names, as in "# id ra dec", these are the names.
//
// # Use
//
//	t, err := table.Open(path, "")
//	defer t.Close()
//	err = t.Select("id_str", "smooth-or-featured_smooth") // the columns to read, in this order
//	for {
//		if err := t.Next(); errors.Is(err, io.EOF) {
//			break
//		} else if err != nil {
//			return err
//		}
//		id, err := t.ID(0)          // "1237648721210769659", digit by digit
//		votes, err := t.Integer(1)  // "18" and "18.0" are both 18
//		if err != nil {
//			return t.Errorf("%w", err) // adds the file and the line
//		}
//	}
//
// # Errors
//
// Errors of Open, Select and Next name the file and, if there is one, the line or row. Errors of
// a cell name the column and what it holds; Errorf adds the rest. A file that is no table (an
// HTML page, a Git LFS pointer, a picture) is named as what it is, together with what to do.
//
// # Limits
//
// A row of text has at most MaxRow bytes. A table has at most MaxColumns columns. A compressed file
// unpacks to at most MaxUnpacked bytes. Compressed Parquet and FITS files, and a zip in a zip, are unpacked to
// a nameless file in the system's folder for temporary files (TMPDIR) until Close; text is
// unpacked while it is read.
package table
