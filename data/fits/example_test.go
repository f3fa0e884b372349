package fits_test

import (
	"fmt"
	"log"
	"os"

	"galaxy/data/fits"
)

func Example() {
	r, err := os.Open("testdata/primary.fits.bz2")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		log.Fatal(err)
	}
	file, err := fits.Open(r, info.Size(), 1<<30)
	if err != nil {
		log.Fatal(err)
	}
	hdu, err := file.First(fits.Image)
	if err != nil {
		log.Fatal(err)
	}
	band, _ := hdu.Lookup("BAND")
	width, height, planes, err := hdu.Shape()
	if err != nil {
		log.Fatal(err)
	}
	pixels, err := hdu.ReadPlane(nil, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, band %v: %d × %d, planes: %d\n", hdu, band, width, height, planes)
	fmt.Printf("bottom left %.4f, top right %.4f\n", pixels[0], pixels[width*height-1])
	// Output:
	// HDU 0, band g: 6 × 5, planes: 1
	// bottom left 1.8022, top right -0.0894
}

func ExampleHDU_Table() {
	r, err := os.Open("testdata/tables.fits.gz")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		log.Fatal(err)
	}
	file, err := fits.Open(r, info.Size(), 1<<30)
	if err != nil {
		log.Fatal(err)
	}
	hdu, err := file.First(fits.Table)
	if err != nil {
		log.Fatal(err)
	}
	table, err := hdu.Table()
	if err != nil {
		log.Fatal(err)
	}
	for row := range min(table.Rows, 2) {
		for column := range 3 {
			text, err := table.Text(row, column)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s=%s;", table.Columns[column].Name, text)
		}
		fmt.Println()
	}
	// Output:
	// id=2276434923830730295;uid=5018749928274149546;name=J00000+0;
	// id=5849242290911124489;uid=4303068050312968363;name=J00001+1;
}
