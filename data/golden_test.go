package data

var splitGolden = []struct {
	id, seed int64
	want     Split
}{
	{0, 0, Train},
	{100008, 0, Train},
	{100023, 0, Train},
	{100053, 0, Test},
	{100078, 0, Train},
	{100090, 0, Train},
	{100122, 0, Train},
	{100123, 0, Train},
	{100128, 0, Train},
	{999967, 0, Train},
	{9007199254740993, 0, Test},
	{0, 1, Train},
	{100008, 1, Train},
	{100023, 1, Validation},
	{100053, 1, Train},
	{100078, 1, Train},
	{100090, 1, Train},
	{100122, 1, Train},
	{100123, 1, Train},
	{100128, 1, Train},
	{999967, 1, Train},
	{9007199254740993, 1, Train},
	{0, -5, Train},
	{100008, -5, Validation},
	{100023, -5, Test},
	{100053, -5, Train},
	{100078, -5, Train},
	{100090, -5, Train},
	{100122, -5, Train},
	{100123, -5, Train},
	{100128, -5, Train},
	{999967, -5, Train},
	{9007199254740993, -5, Train},
}

var permutationGolden = []struct {
	seed, epoch int64
	want        []int32
}{
	{0, 0, []int32{0}},
	{0, 0, []int32{4, 7, 0, 5, 9, 3, 6, 2, 8, 1}},
	{0, 1, []int32{0, 8, 6, 1, 7, 9, 3, 4, 5, 2}},
	{1, 0, []int32{1, 9, 0, 7, 4, 2, 5, 3, 8, 6}},
	{-7, 3, []int32{6, 2, 8, 11, 1, 10, 7, 4, 0, 9, 3, 5}},
	{42, 1000000, []int32{3, 13, 7, 4, 15, 14, 2, 9, 10, 5, 8, 6, 1, 0, 12, 11}},
}
