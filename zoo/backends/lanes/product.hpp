// The one kernel that convolutions and linear layers are made of, forward and backward.
//
//     y[ym[m] + yj[j]] (+)= bias[m] + sum over k of  a[am[m] + ak[k]] * x[xj[j] + xk[k]]
//
// lane by lane; all offsets are in bytes. A tile of up to four rows m and some columns j stays in
// registers while k runs, so that each vector that is loaded is used several times.
#pragma once
#include <algorithm>
#include <vector>

#include "vector.hpp"

typedef std::vector<int32_t> Table;

#ifdef __AVX512F__
constexpr int ROWS = 4, ACCUMULATORS = 24;
#else
constexpr int ROWS = 2, ACCUMULATORS = 4;
#endif
constexpr int WIDEST = 12;

// Columns that lie next to each other in x need one address for all of them.
struct Block {
  int32_t begin, columns;
  bool adjacent;
};

constexpr int columns_at_most(int rows) { return std::min(WIDEST, ACCUMULATORS / rows); }

inline void cut(std::vector<Block> &blocks, int begin, int length, bool adjacent, int most) {
  for (int parts = (length + most - 1) / most, part = 0; part < parts; part++) {
    int from = length * part / parts, to = length * (part + 1) / parts;
    blocks.push_back({begin + from, to - from, adjacent});
  }
}

// Cut columns into blocks of at most `most`, along runs of adjacent ones where those are long enough.
inline std::vector<Block> blocks_of(const Table &xj, int32_t step, int most) {
  std::vector<Block> blocks;
  int lone = 0, begin = 0, columns = int(xj.size());
  for (int j = 1; j <= columns; j++) {
    if (j < columns && xj[j] == xj[j - 1] + step) continue;
    if (j - begin >= 2) {
      cut(blocks, lone, begin - lone, false, most);
      cut(blocks, begin, j - begin, true, most);
      lone = j;
    }
    begin = j;
  }
  cut(blocks, lone, columns - lone, false, most);
  return blocks;
}

// Columns of x, as one kernel wants them, cut for each number of rows.
struct Columns {
  Table x, y;
  std::vector<Block> blocks[ROWS + 1];
  Columns() = default;
  Columns(Table xj, Table yj, int32_t step) : x(std::move(xj)), y(std::move(yj)) {
    for (int rows = 1; rows <= ROWS; rows++) blocks[rows] = blocks_of(x, step, columns_at_most(rows));
  }
};

template <class V> struct Product {
  const char *a, *x;
  char *y;
  const int32_t *am, *ak, *xk, *ym;
  int rows, depth;
  const V *bias;
  bool add;
};

template <class V, int M, int J, bool ADJACENT> static void tile(const Product<V> &p, int row, const int32_t *xj, const int32_t *yj) {
  V sum[M][J];
  const char *a[M], *x[ADJACENT ? 1 : J];
  for (int m = 0; m < M; m++) a[m] = p.a + p.am[row + m];
  for (int j = 0; j < (ADJACENT ? 1 : J); j++) x[j] = p.x + xj[j];
  for (int m = 0; m < M; m++)
    for (int j = 0; j < J; j++)
      sum[m][j] = p.add ? *(const V *)(p.y + p.ym[row + m] + yj[j]) : p.bias ? p.bias[row + m] : V{};
  for (int k = 0; k < p.depth; k++) {
    int64_t ka = p.ak[k], kx = p.xk[k];
    V w[M];
    for (int m = 0; m < M; m++) w[m] = *(const V *)(a[m] + ka);
#pragma GCC unroll 16
    for (int j = 0; j < J; j++) {
      V v = ADJACENT ? *((const V *)(x[0] + kx) + j) : *(const V *)(x[ADJACENT ? 0 : j] + kx);
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) sum[m][j] += w[m] * v;
    }
  }
  for (int m = 0; m < M; m++)
    for (int j = 0; j < J; j++) *(V *)(p.y + p.ym[row + m] + yj[j]) = sum[m][j];
}

template <class V, int M, int J> static inline void any_width(const Product<V> &p, int row, const Columns &c, const Block &b) {
  if constexpr (J > 0) {
    if (b.columns != J) return any_width<V, M, J - 1>(p, row, c, b);
    if (b.adjacent) tile<V, M, J, true>(p, row, &c.x[b.begin], &c.y[b.begin]);
    else tile<V, M, J, false>(p, row, &c.x[b.begin], &c.y[b.begin]);
  }
}

template <class V, int M> static void band(const Product<V> &p, int row, const Columns &c, int from, int to) {
  for (const Block &b : c.blocks[M])
    if (b.begin >= from && b.begin < to) any_width<V, M, columns_at_most(M)>(p, row, c, b);
}

template <class V> static void rows_of(const Product<V> &p, const Columns &c, int from, int to) {
  for (int parts = (p.rows + ROWS - 1) / ROWS, part = 0; part < parts; part++) {
    int row = p.rows * part / parts, rows = p.rows * (part + 1) / parts - row;
    if (rows == 1) band<V, 1>(p, row, c, from, to);
    else if (rows == 2) band<V, 2>(p, row, c, from, to);
#ifdef __AVX512F__
    else if (rows == 3) band<V, 3>(p, row, c, from, to);
    else band<V, 4>(p, row, c, from, to);
#endif
  }
}

// How much of k and of the columns is gone through with all rows before the next of it is touched, so that it stays
// in the cache: four rows of `DEEP` in the first level, `BROAD` columns of it in the second.
constexpr int DEEP = 128, BROAD = 64;

template <class V> static void multiply(Product<V> p, const Columns &c) {
  int columns = int(c.x.size()), depth = p.depth;
  for (int done = 0; done < depth; done += p.depth) {
    p.depth = std::min(DEEP, depth - done);
    for (int from = 0; from < columns; from += BROAD) rows_of(p, c, from, from + BROAD);
    p.ak += p.depth;
    p.xk += p.depth;
    p.add = true;
  }
}
