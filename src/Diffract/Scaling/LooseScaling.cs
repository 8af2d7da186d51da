using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Scaling;

/// <summary>Latent Scaling on loose files: any dictionary folder and a tensor of paired activations, no run, with every variant of spec 5.4.</summary>
public static class LooseScaling
{
    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="settings">What to do; names of tensors as <see cref="ScalingTensors"/>.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <exception cref="DiffractException">Options or shapes that do not fit, values that are not finite (with token, model and column).</exception>
    public static void Run(IBackend backend, IProgressSink progress, LooseScalingSettings settings, CancellationToken stop)
    {
        Check(settings);
        using LooseCodes codes = LooseCodes.Open(backend, progress, settings.Dictionary, "scale", codeNeeded: true, stop);
        Crosscoder crosscoder = codes.Crosscoder;
        ScalingModels.Check(crosscoder, settings.Dictionary.Folder, settings.Dictionary.AllowUnsetThreshold);
        (int first, int count) = Rows(settings, codes.Rows);
        int[]? written = settings.Latents is { } file ? IndexFile.Read("--latents", file, crosscoder.Latents) : null;
        float[]? floor_L = Floor(settings, codes, first, count, progress, stop);
        using RawDecoder raw = new(crosscoder);
        using ScalingDirections directions = Directions(settings, crosscoder, raw, written);
        int[] offsets = codes.Input.PairOffsets;
        using BetaSums sums = new(backend.Scaling, directions.Vectors_LD, directions.Remainder_LD, offsets, 1, crosscoder.Decoupled ? codes.Input.CodeModel : null);
        Matrix recon_BE = backend.Matrix(LooseCodes.BatchRows, offsets[^1]);
        using IBuffer recon = recon_BE.Buffer;
        codes.ForEach(
            first, count, whole: true, (row, acts_BE, code) =>
            {
                if (floor_L is not null)
                {
                    CodeFilter.KeepFrom(code, floor_L);
                }

                // An SAE reconstructs what it reads, not the pair: only activations are explained.
                Matrix part_BE = crosscoder.Config.Sae ? acts_BE : recon_BE.SliceRows(0, acts_BE.Rows);
                if (!crosscoder.Config.Sae)
                {
                    crosscoder.Decode(code, part_BE);
                }

                sums.Add(0, code, acts_BE, part_BE);
                progress.Report("scale", row + acts_BE.Rows - first, count, "rows");
            },
            stop);

        LatentProducts products = crosscoder.Config.Sae
            ? new(directions.Vectors_LD, directions.Remainder_LD, null, null, offsets)
            : new(directions.Vectors_LD, directions.Remainder_LD, raw.WDec_LE, raw.BDec_E, offsets);
        Write(settings, crosscoder, sums, products, directions, written, count);
        progress.Done("scale", $"{written?.Length ?? crosscoder.Latents} latents over {count} rows, {Silent(sums, written)} never active (NaN), written to {settings.Out}");
    }

    /// <summary>Latents whose sums are empty: their betas are not numbers, and no mean may take them in.</summary>
    static int Silent(BetaSums sums, int[]? written)
        => (written ?? [.. Enumerable.Range(0, sums.Latents)]).Count(j => sums.Block(0, j)[0] == 0);

    static void Write(
        LooseScalingSettings settings, Crosscoder crosscoder, BetaSums sums, LatentProducts products, ScalingDirections directions, int[]? written, int rows)
    {
        IReadOnlyList<(TargetKind, int, string)> targets = crosscoder.Config.Sae ? [.. ScalingTargets.All.Where(t => t.Kind == TargetKind.Activation)] : ScalingTargets.All;
        SafetensorsWriter writer = new();
        ScalingTensors.Add(writer, sums, products, written, targets);
        if (written is not null)
        {
            writer.Add("latent_indices", Array.ConvertAll(written, j => (long)j), written.Length);
        }

        if (settings.Vectors != VectorChoice.Own)
        {
            int[] order = written ?? [.. Enumerable.Range(0, crosscoder.Latents)];
            int width = directions.Vectors_LD.Columns;
            writer.Add(ScalingDirections.Tensor, order.SelectMany(directions.Of).ToArray(), order.Length, width);
            if (directions.RandomLatents is { } from)
            {
                writer.Add("random_indices", Array.ConvertAll(order, j => (long)from[j]), order.Length);
            }
        }

        writer.Save(settings.Out);
        if (settings.Published is { } folder)
        {
            PublishedScalers.Write(folder, settings, sums, products, directions, written, targets, rows);
        }
    }

    static void Check(LooseScalingSettings settings)
    {
        if (settings.VectorsFile is not null && settings.Vectors != VectorChoice.Random)
        {
            throw DiffractException.Argument("--vectors-file belongs to --vectors random; give both or neither");
        }

        if (settings.ActiveAbove is { } t && !(t > 0 && t < 1))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--active-above {t} is out of range; wanted a share of the maximum between 0 and 1"));
        }

        if (settings.Maxima is not null && settings.ActiveAbove is null)
        {
            throw DiffractException.Argument("--maxima belongs to --active-above; give both, or neither");
        }

        if (settings.Samples is < 1 || settings.Offset < 0)
        {
            throw DiffractException.Argument($"--num-samples {settings.Samples} --n-offset {settings.Offset} cannot be taken; wanted at least 1 sample and an offset from 0");
        }

        if (settings.Offset > 0 && settings.Samples is null)
        {
            throw DiffractException.Argument("--n-offset counts in --num-samples; give both");
        }
    }

    static (int First, int Count) Rows(LooseScalingSettings settings, int rows)
    {
        long count = settings.Samples ?? rows, first = settings.Offset * count;
        return first < rows
            ? ((int)first, (int)Math.Min(count, rows - first))
            : throw DiffractException.Argument($"--n-offset {settings.Offset} of {count} samples begins behind the last of {rows} rows of {settings.Dictionary.Activations}; wanted a smaller one");
    }

    static ScalingDirections Directions(LooseScalingSettings settings, Crosscoder crosscoder, RawDecoder raw, int[]? written)
    {
        Matrix own_LD = BetaSums.Directions(raw.WDec_LE, crosscoder.ModelOffsets);
        return settings.Vectors == VectorChoice.Own ? ScalingDirections.Own(own_LD)
            : settings.VectorsFile is { } file ? ScalingDirections.Read(file, own_LD.Rows, own_LD.Columns, written)
            : ScalingDirections.Draw(settings.Vectors, own_LD, settings.Seed);
    }

    /// <summary>T·max of each latent in units of the code: stored maxima are mostly scaled, which these are not (spec 12, 24).</summary>
    static float[]? Floor(LooseScalingSettings settings, LooseCodes codes, int first, int count, IProgressSink progress, CancellationToken stop)
    {
        if (settings.ActiveAbove is not { } share)
        {
            return null;
        }

        float[] max_L = settings.Maxima is { } file ? CodeMaxima.Read(file, codes.Crosscoder.Latents) : CodeMaxima.Of(codes, first, count, progress, stop);
        return [.. max_L.Select(m => (float)(share * m))];
    }
}
