using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// Activations of a loose file, in memory: <c>x</c> as [N, M, D] (of an SAE [N, D]), or a tensor for each model, <c>x.0</c> [N, D0], <c>x.1</c> [N, D1] …, which models of different widths need.
/// </summary>
/// <param name="x_NE">Row after row, models end to end.</param>
/// <param name="modelOffsets">[M + 1].</param>
public sealed class LooseActivations(float[] x_NE, int[] modelOffsets) : IBatchSource
{
    public int[] ModelOffsets { get; } = modelOffsets;

    /// <summary>N.</summary>
    public int Rows => x_NE.Length / ModelOffsets[^1];

    public long DistinctTokens => Rows;

    /// <summary>Whether the file has a tensor for each model.</summary>
    public bool ByModel { get; private init; }

    /// <summary>Reads what a crosscoder can take.</summary>
    /// <param name="path">The safetensors file.</param>
    /// <param name="config">The crosscoder's sizes.</param>
    /// <param name="folder">Where the crosscoder lies, for messages.</param>
    /// <exception cref="DiffractException">Another shape, or a value that is not finite; the message says where.</exception>
    public static LooseActivations Read(string path, CrosscoderConfig config, string folder)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        bool byModel = !file.Tensors.ContainsKey("x") && (file.Tensors.ContainsKey("x.0") || !config.EqualWidths);
        LooseActivations read = new(byModel ? Joined(file, config, folder) : Whole(file, config, folder), config.ModelOffsets) { ByModel = byModel };
        read.RequireFinite(path);
        return read;
    }

    /// <summary>Rows first .. first + the matrix's rows - 1.</summary>
    public void Copy(int first, Matrix acts_BE)
    {
        int e = ModelOffsets[^1];
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            x_NE.AsSpan(checked((first + b) * e), e).CopyTo(acts_BE.Row(b));
        }
    }

    public void Fill(long index, Matrix acts_BE) => Copy(checked((int)(index * acts_BE.Rows)), acts_BE);

    static float[] Whole(SafetensorsFile file, CrosscoderConfig config, string folder)
    {
        long[] shape = file["x"].Shape;
        if (!config.EqualWidths)
        {
            throw new DiffractException($"{file.FilePath} has one tensor x, {folder} reads models of widths {string.Join(" and ", config.Widths)}; wanted {Wanted(config)}");
        }

        long[] wanted = config.Sae ? [config.Widths[0]] : [config.Models, config.Widths[0]];
        return shape.Length >= 2 && shape.AsSpan(1).SequenceEqual(wanted) && shape[0] <= int.MaxValue
            ? file.Floats("x")
            : throw new DiffractException($"{file.FilePath}: tensor x has the shape [{string.Join(", ", shape)}], wanted [tokens, {string.Join(", ", wanted)}] for {folder}");
    }

    static float[] Joined(SafetensorsFile file, CrosscoderConfig config, string folder)
    {
        long rows = file["x.0"].Shape[0];
        if (rows > int.MaxValue || file.Tensors.ContainsKey($"x.{config.Models}"))
        {
            throw new DiffractException($"{file.FilePath} holds {rows} tokens of {file.Tensors.Keys.Count(k => k.StartsWith("x.", StringComparison.Ordinal))} models; wanted {Wanted(config)} for {folder}");
        }

        float[] x_NE = new float[checked(rows * config.E)];
        for (int m = 0; m < config.Models; m++)
        {
            int width = config.Widths[m];
            long[] shape = file[$"x.{m}"].Shape;
            if (!shape.AsSpan().SequenceEqual([rows, width]))
            {
                throw new DiffractException($"{file.FilePath}: tensor x.{m} has the shape [{string.Join(", ", shape)}], wanted [{rows}, {width}] ({Wanted(config)}) for {folder}");
            }

            float[] of = file.Floats($"x.{m}");
            for (int r = 0; r < rows; r++)
            {
                of.AsSpan(r * width, width).CopyTo(x_NE.AsSpan((r * config.E) + config.ModelOffsets[m], width));
            }
        }

        return x_NE;
    }

    static string Wanted(CrosscoderConfig config) => string.Join(", ", config.Widths.Select((w, m) => $"x.{m} [tokens, {w}]"));

    void RequireFinite(string path)
    {
        int broken = Array.FindIndex(x_NE, v => !float.IsFinite(v));
        if (broken >= 0)
        {
            int e = ModelOffsets[^1], column = broken % e, model = Array.FindLastIndex(ModelOffsets, o => o <= column);
            throw new DiffractException($"{path}: x holds {(float.IsNaN(x_NE[broken]) ? "NaN" : "infinity")} at token {broken / e}, model {model}, column {column - ModelOffsets[model]}; harvest it again");
        }
    }
}
