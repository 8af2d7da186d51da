using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Diffract.Compute.Buffers;

namespace Diffract.Cpu.Matmul;

/// <summary>Copies into panels [k][columns], the order in which a tile reads its second operand.</summary>
static unsafe class MatmulPanels
{
    /// <summary>Elements that a tile's writer may write beyond its end.</summary>
    public const int TileSlack = 8;

    /// <summary>panel[k][j] = b[j][k] for <paramref name="rows"/> rows of b; columns beyond them become 0.</summary>
    public static void FromRows(float* b, nint ldb, int rows, int depth, int columns, float* panel)
    {
        if (rows < columns)
        {
            new Span<float>(panel, checked(depth * columns)).Clear();
        }

        Transpose(b, ldb, rows, depth, panel, columns);
    }

    /// <summary>panel[k][j] = b[k][j] for <paramref name="depth"/> steps of k; columns beyond <paramref name="valid"/> become 0.</summary>
    public static void FromColumns(float* b, nint ldb, int valid, int depth, int columns, float* panel)
    {
        bool vectors = valid == columns && columns % 8 == 0;
        for (int k = 0; k < depth; k++)
        {
            float* source = b + k * ldb, target = panel + (nint)k * columns;
            if (vectors)
            {
                for (int j = 0; j < columns; j += 8)
                {
                    Vector256.Load(source + j).Store(target + j);
                }
            }
            else
            {
                new ReadOnlySpan<float>(source, valid).CopyTo(new Span<float>(target, valid));
                new Span<float>(target + valid, columns - valid).Clear();
            }
        }
    }

    /// <summary>The same as <see cref="FromRows"/>, on the 16 bits of bfloat16.</summary>
    public static void FromRowsBFloat16(ushort* b, nint ldb, int rows, int depth, int columns, ushort* panel)
    {
        if (rows < columns)
        {
            new Span<ushort>(panel, checked(depth * columns)).Clear();
        }

        for (int j = 0; j < rows; j++)
        {
            ushort* row = b + j * ldb;
            ushort* target = panel + j;
            for (int k = 0; k < depth; k++)
            {
                *target = row[k];
                target += columns;
            }
        }
    }

    /// <summary>The same as <see cref="FromRows"/>, from bfloat16 to float32.</summary>
    public static void FromRowsWidened(ushort* b, nint ldb, int rows, int depth, int columns, float* panel)
    {
        if (rows < columns)
        {
            new Span<float>(panel, checked(depth * columns)).Clear();
        }

        const int Chunk = 256;
        float* wide = stackalloc float[8 * Chunk];
        for (int j = 0; j < rows; j += 8)
        {
            int some = Math.Min(8, rows - j);
            for (int k = 0; k < depth; k += Chunk)
            {
                int steps = Math.Min(Chunk, depth - k);
                for (int r = 0; r < some; r++)
                {
                    Widen(b + (j + r) * ldb + k, steps, wide + r * Chunk);
                }

                Transpose(wide, Chunk, some, steps, panel + (nint)k * columns + j, columns);
            }
        }
    }

    /// <summary>bfloat16 to float32; exact.</summary>
    public static void Widen(ushort* source, int count, float* target)
    {
        int i = 0;
        for (; i <= count - 8; i += 8)
        {
            Vector128<ushort> bits = Vector128.Load(source + i);
            Vector128.ShiftLeft(Vector128.WidenLower(bits), 16).AsSingle().Store(target + i);
            Vector128.ShiftLeft(Vector128.WidenUpper(bits), 16).AsSingle().Store(target + i + 4);
        }

        for (; i < count; i++)
        {
            target[i] = BFloat16.ToSingle(source[i]);
        }
    }

    /// <summary>target[j][i] = source[i][j] for a block of rows by columns.</summary>
    public static void Transpose(float* source, nint lds, int rows, int columns, float* target, nint ldt)
    {
        int done = 0;
        if (Avx.IsSupported)
        {
            for (; done <= rows - 8; done += 8)
            {
                int j = 0;
                for (; j <= columns - 8; j += 8)
                {
                    Transpose8(source + done * lds + j, lds, target + j * ldt + done, ldt);
                }

                for (; j < columns; j++)
                {
                    for (int i = done; i < done + 8; i++)
                    {
                        target[j * ldt + i] = source[i * lds + j];
                    }
                }
            }
        }

        for (int j = 0; j < columns; j++)
        {
            for (int i = done; i < rows; i++)
            {
                target[j * ldt + i] = source[i * lds + j];
            }
        }
    }

    /// <summary>
    /// tile[k][i] = a[i][k] for the few rows of one tile, <paramref name="width"/> of them, in the order in which it reads them; the last row stands in for those
    /// beyond <paramref name="rows"/>. Writes up to <see cref="TileSlack"/> elements more than the tile holds.
    /// </summary>
    public static void TileFromRows(float* a, nint lda, int rows, int depth, int width, float* tile)
    {
        int k = 0;
        if (Avx.IsSupported && width <= 8)
        {
            // Eight rows are written where the tile has fewer: the next k overwrites what is too much.
            for (; k <= depth - 8; k += 8)
            {
                Transpose8(a + k, lda, rows - 1, tile + k * width, width);
            }
        }

        for (; k < depth; k++)
        {
            for (int i = 0; i < width; i++)
            {
                tile[k * width + i] = a[Math.Min(i, rows - 1) * lda + k];
            }
        }
    }

    /// <summary>tiles[t][k][i] = a[k][t·width + i] for <paramref name="rows"/> columns of a; a tile starts <paramref name="tileStride"/> elements after the one before.</summary>
    public static void TilesFromColumns(float* a, nint lda, int rows, int depth, int width, float* tiles, nint tileStride)
    {
        for (int k = 0; k < depth; k++)
        {
            float* source = a + k * lda;
            float* target = tiles + k * width;
            int i = 0;
            if (Vector256.IsHardwareAccelerated && width <= 8)
            {
                for (; i <= rows - 8; i += width)
                {
                    Vector256.Load(source + i).Store(target);
                    target += tileStride;
                }
            }

            for (; i < rows; i += width)
            {
                for (int r = 0; r < width; r++)
                {
                    target[r] = source[Math.Min(i + r, rows - 1)];
                }

                target += tileStride;
            }
        }
    }

    static void Transpose8(float* source, nint lds, float* target, nint ldt) => Transpose8(source, lds, 7, target, ldt);

    /// <summary>target[j][i] = source[min(i, last)][j], eight by eight, written in the order of j.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Transpose8(float* source, nint lds, int last, float* target, nint ldt)
    {
        Vector256<float> r0 = Vector256.Load(source);
        Vector256<float> r1 = Vector256.Load(source + Math.Min(1, last) * lds);
        Vector256<float> r2 = Vector256.Load(source + Math.Min(2, last) * lds);
        Vector256<float> r3 = Vector256.Load(source + Math.Min(3, last) * lds);
        Vector256<float> r4 = Vector256.Load(source + Math.Min(4, last) * lds);
        Vector256<float> r5 = Vector256.Load(source + Math.Min(5, last) * lds);
        Vector256<float> r6 = Vector256.Load(source + Math.Min(6, last) * lds);
        Vector256<float> r7 = Vector256.Load(source + Math.Min(7, last) * lds);
        Vector256<float> t0 = Avx.UnpackLow(r0, r1);
        Vector256<float> t1 = Avx.UnpackHigh(r0, r1);
        Vector256<float> t2 = Avx.UnpackLow(r2, r3);
        Vector256<float> t3 = Avx.UnpackHigh(r2, r3);
        Vector256<float> t4 = Avx.UnpackLow(r4, r5);
        Vector256<float> t5 = Avx.UnpackHigh(r4, r5);
        Vector256<float> t6 = Avx.UnpackLow(r6, r7);
        Vector256<float> t7 = Avx.UnpackHigh(r6, r7);
        r0 = Avx.Shuffle(t0, t2, 0x44);
        r1 = Avx.Shuffle(t0, t2, 0xEE);
        r2 = Avx.Shuffle(t1, t3, 0x44);
        r3 = Avx.Shuffle(t1, t3, 0xEE);
        r4 = Avx.Shuffle(t4, t6, 0x44);
        r5 = Avx.Shuffle(t4, t6, 0xEE);
        r6 = Avx.Shuffle(t5, t7, 0x44);
        r7 = Avx.Shuffle(t5, t7, 0xEE);
        Avx.Permute2x128(r0, r4, 0x20).Store(target);
        Avx.Permute2x128(r1, r5, 0x20).Store(target + ldt);
        Avx.Permute2x128(r2, r6, 0x20).Store(target + 2 * ldt);
        Avx.Permute2x128(r3, r7, 0x20).Store(target + 3 * ldt);
        Avx.Permute2x128(r0, r4, 0x31).Store(target + 4 * ldt);
        Avx.Permute2x128(r1, r5, 0x31).Store(target + 5 * ldt);
        Avx.Permute2x128(r2, r6, 0x31).Store(target + 6 * ldt);
        Avx.Permute2x128(r3, r7, 0x31).Store(target + 7 * ldt);
    }
}
