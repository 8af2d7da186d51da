using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>The shape rules of <see cref="ITransformerKernels"/>, checked by every backend before it computes.</summary>
public static class TransformerShapes
{
    public static void Embed(ReadOnlySpan<int> ids, Matrix table_VD, Matrix out_TD)
    {
        if (out_TD.Rows != ids.Length || out_TD.Columns != table_VD.Columns || !IsWeight(table_VD))
        {
            throw new ShapeException("embed", "out is [ids, table columns], table float32 or bfloat16", $"{ids.Length} ids, table {table_VD}, out {out_TD}");
        }

        foreach (int id in ids)
        {
            if ((uint)id >= (uint)table_VD.Rows)
            {
                throw new ShapeException("embed", "ids lie in the table", $"id {id}, table {table_VD}");
            }
        }
    }

    public static void Norm(Matrix x_TD, Matrix weight_D, Matrix out_TD)
    {
        if (weight_D.Rows != 1 || weight_D.Columns == 0 || x_TD.Columns % weight_D.Columns != 0 || out_TD.Rows != x_TD.Rows || out_TD.Columns != x_TD.Columns)
        {
            throw new ShapeException("norm", "weight is [1, D] or divides the columns of x, out has the shape of x", $"x {x_TD}, weight {weight_D}, out {out_TD}");
        }
    }

    public static void LayerNorm(Matrix x_TD, Matrix weight_D, Matrix bias_D, Matrix out_TD)
    {
        Same("layer norm", x_TD, out_TD);
        Bias("layer norm", weight_D, x_TD);
        Bias("layer norm", bias_D, x_TD);
    }

    public static void Bias(string operation, Matrix bias_N, Matrix y_TN)
    {
        if (bias_N.Rows != 1 || bias_N.Columns != y_TN.Columns)
        {
            throw new ShapeException(operation, "one row, as wide as the matrix", $"{bias_N} for {y_TN}");
        }
    }

    public static void Same(string operation, Matrix x, Matrix y)
    {
        if (x.Rows != y.Rows || x.Columns != y.Columns)
        {
            throw new ShapeException(operation, "both have one shape", $"{x} and {y}");
        }
    }

    public static void Gather(Matrix x_TD, ReadOnlySpan<int> rows, Matrix out_RD)
    {
        if (out_RD.Rows != rows.Length || out_RD.Columns != x_TD.Columns)
        {
            throw new ShapeException("gather rows", "out is [rows, x columns]", $"{rows.Length} rows, x {x_TD}, out {out_RD}");
        }

        foreach (int row in rows)
        {
            if ((uint)row >= (uint)x_TD.Rows)
            {
                throw new ShapeException("gather rows", "rows lie in x", $"row {row} of x {x_TD}");
            }
        }
    }

    public static void MatMul(Matrix x_TK, Matrix weight_NK, Matrix out_TN)
    {
        if (x_TK.Columns != weight_NK.Columns || out_TN.Rows != x_TK.Rows || out_TN.Columns != weight_NK.Rows || !IsWeight(weight_NK))
        {
            throw new ShapeException("matmul", "x [T, K], weight [N, K] float32 or bfloat16, out [T, N]", $"x {x_TK}, weight {weight_NK}, out {out_TN}");
        }
    }

    public static void Rope(Matrix x_TD, int headWidth, ReadOnlySpan<int> positions, Matrix cosSin_PR)
    {
        if (cosSin_PR.Columns % 2 != 0 || cosSin_PR.Columns > headWidth || x_TD.Columns % headWidth != 0 || positions.Length != x_TD.Rows)
        {
            throw new ShapeException(
                "rope", "heads side by side, a position a row, an even table no wider than a head", $"x {x_TD}, head {headWidth}, {positions.Length} positions, table {cosSin_PR}");
        }

        foreach (int position in positions)
        {
            if ((uint)position >= (uint)cosSin_PR.Rows)
            {
                throw new ShapeException("rope", "positions lie in the table", $"position {position}, table {cosSin_PR}");
            }
        }
    }

    public static void Attention(Matrix q_TD, Matrix k_SD, Matrix v_SD, ReadOnlySpan<SequenceSpan> sequences, in AttentionShape shape, Matrix out_TD)
    {
        int queries = shape.Heads * shape.HeadWidth, keys = shape.KeyValueHeads * shape.HeadWidth;
        if (shape.Heads % shape.KeyValueHeads != 0 || q_TD.Columns != queries || out_TD.Columns != queries || k_SD.Columns != keys || v_SD.Columns != keys
            || out_TD.Rows != q_TD.Rows || k_SD.Rows != v_SD.Rows)
        {
            throw new ShapeException("attention", "q and out [T, heads·H], k and v [S, key-value heads·H]", $"q {q_TD}, k {k_SD}, v {v_SD}, out {out_TD}, {shape}");
        }

        foreach (SequenceSpan s in sequences)
        {
            if (s.Length < 0 || s.KeyLength < s.Length || s.QueryRow < 0 || s.QueryRow + s.Length > q_TD.Rows || s.KeyRow < 0 || s.KeyRow + s.KeyLength > k_SD.Rows)
            {
                throw new ShapeException("attention", "sequences lie in the rows, with at least as many keys as queries", $"{s}, q {q_TD}, k {k_SD}");
            }
        }
    }

    public static void GatedMlp(Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Matrix out_TD)
    {
        Same("gated mlp", x_TD, out_TD);
        Same("gated mlp", gate_FD, up_FD);
        if (gate_FD.Columns != x_TD.Columns || down_DF.Rows != x_TD.Columns || down_DF.Columns != gate_FD.Rows || !IsWeight(gate_FD) || !IsWeight(up_FD) || !IsWeight(down_DF))
        {
            throw new ShapeException("gated mlp", "gate and up [F, D], down [D, F], float32 or bfloat16", $"x {x_TD}, gate {gate_FD}, up {up_FD}, down {down_DF}");
        }
    }

    public static void Statistics(Matrix logits_TV, int targets, int logSumExp, int argmax, int nll)
    {
        if (targets != logits_TV.Rows || logSumExp != logits_TV.Rows || argmax != logits_TV.Rows || nll != logits_TV.Rows)
        {
            throw new ShapeException("logit statistics", "one of each a row", $"logits {logits_TV}, {targets} targets, {logSumExp}, {argmax}, {nll}");
        }
    }

    public static void Kl(Matrix p_TV, Matrix q_TV, int kl)
    {
        Same("kl divergence", p_TV, q_TV);
        ShapeException.Check(kl == p_TV.Rows, "kl divergence", "one value a row", $"{kl} for {p_TV.Rows} rows");
    }

    static bool IsWeight(Matrix m) => m.Type is ElementType.Float32 or ElementType.BFloat16;
}
