using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Scaling;

/// <summary>Latent Scaling on loose files: a crosscoder folder and a tensor of activations, no run.</summary>
public static class LooseScaling
{
    const int BatchRows = 1024;

    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="crosscoderFolder">Published form.</param>
    /// <param name="activations">safetensors with <c>x</c> [N, M, D].</param>
    /// <param name="output">safetensors to write, names as <see cref="ScalingTensors"/>.</param>
    /// <param name="allowUnsetThreshold">Take a BatchTopK crosscoder without a threshold.</param>
    /// <param name="scale">What was said of the scale of the activations that the crosscoder was trained on.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <exception cref="DiffractException">Shapes that do not fit, values that are not finite (with row, model and column).</exception>
    public static void Run(
        IBackend backend, IProgressSink progress, string crosscoderFolder, string activations, string output, bool allowUnsetThreshold, InputScale scale, CancellationToken stop)
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(crosscoderFolder, backend);
        ScalingModels.Check(crosscoder, crosscoderFolder, allowUnsetThreshold);
        using SafetensorsFile file = SafetensorsFile.Open(activations);
        int[] offsets = crosscoder.ModelOffsets;
        long[] shape = file["x"].Shape;
        if (shape.Length != 3 || shape[1] != crosscoder.Models || shape[2] != offsets[1])
        {
            throw new DiffractException($"{activations}: x has the shape [{string.Join(", ", shape)}], wanted [N, {crosscoder.Models}, {offsets[1]}] as {crosscoderFolder} reads");
        }

        float[] x_NE = file.Floats("x");
        RequireFinite(activations, x_NE, offsets);
        LooseActivations given = new(x_NE, offsets);
        InputScaling.Apply(crosscoder, crosscoderFolder, scale, given, given, "scale", progress, stop);
        using SparseCode code = crosscoder.NewCode(BatchRows);
        using RawDecoder raw = new(crosscoder);
        using BetaSums sums = new(backend.Scaling, raw.WDec_LE, offsets, blocks: 1);
        Matrix acts_BE = backend.Matrix(BatchRows, crosscoder.E), recon_BE = backend.Matrix(BatchRows, crosscoder.E);
        using IBuffer acts = acts_BE.Buffer, recon = recon_BE.Buffer;
        for (long first = 0; first < shape[0]; first += BatchRows)
        {
            stop.ThrowIfCancellationRequested();
            int rows = (int)Math.Min(BatchRows, shape[0] - first);
            backend.Upload(x_NE.AsSpan((int)(first * crosscoder.E), rows * crosscoder.E), acts_BE.SliceRows(0, rows));
            crosscoder.Encode(acts_BE.SliceRows(0, rows), code);
            crosscoder.Decode(code, recon_BE.SliceRows(0, rows));
            sums.Add(0, code, acts_BE.SliceRows(0, rows), recon_BE.SliceRows(0, rows));
            progress.Report("scale", first + rows, shape[0], "rows");
        }

        SafetensorsWriter writer = new();
        ScalingTensors.Add(writer, sums, new LatentProducts(raw.WDec_LE, raw.BDec_E, offsets));
        writer.Save(output);
        progress.Done("scale", $"{crosscoder.Latents} latents over {shape[0]} rows, written to {output}");
    }
    static void RequireFinite(string path, float[] x_NE, int[] offsets)
    {
        int e = offsets[^1];
        for (int row = 0; row < x_NE.Length / e; row++)
        {
            ReadOnlySpan<float> row_E = x_NE.AsSpan(row * e, e);
            if (FiniteRows.FirstBad(row_E) is { } column)
            {
                int model = FiniteRows.Model(offsets, column);
                throw new DiffractException($"{path}: x[{row}, {model}, {column - offsets[model]}] is {row_E[column]}; wanted numbers: make the activations again");
            }
        }
    }
}
