using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Scaling;

/// <summary>
/// Held-out verification of betas (spec 5.7): the mean squared length of y - a before and of y - a - β f v after, a = 0, by target and latent, over all tokens and over the active ones by bucket of f over the latent's maximum.
/// </summary>
public static class LooseVerification
{
    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="settings">What to do.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <exception cref="DiffractException">Betas of another dictionary.</exception>
    public static void Run(IBackend backend, IProgressSink progress, LooseVerificationSettings settings, CancellationToken stop)
    {
        if (settings.Buckets < 1 || settings.Noise is not (>= 0 and < 1))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--buckets {settings.Buckets} --noise {settings.Noise} cannot be taken; wanted at least 1 bucket, and a share from 0 to below 1"));
        }

        using LooseCodes codes = LooseCodes.Open(backend, progress, settings.Dictionary, "verify", codeNeeded: true, stop);
        Crosscoder crosscoder = codes.Crosscoder;
        ScalingModels.Check(crosscoder, settings.Dictionary.Folder, settings.Dictionary.AllowUnsetThreshold);
        using RawDecoder raw = new(crosscoder);
        using SafetensorsFile betas = SafetensorsFile.Open(settings.Betas);
        int[] latents = Latents(betas, crosscoder.Latents);
        Matrix own_LD = BetaSums.Directions(raw.WDec_LE, crosscoder.ModelOffsets);
        using ScalingDirections directions = betas.Tensors.ContainsKey(ScalingDirections.Tensor)
            ? ScalingDirections.Read(settings.Betas, crosscoder.Latents, own_LD.Columns, latents)
            : ScalingDirections.Own(own_LD);
        (TargetKind Kind, int Model, string Name)[] targets = [.. ScalingTargets.All.Where(t => betas.Tensors.ContainsKey(t.Name + ".beta"))];
        if (targets.Length == 0 || (crosscoder.Config.Sae && targets.Any(t => t.Kind != TargetKind.Activation)))
        {
            throw new DiffractException($"{settings.Betas} has betas for {targets.Length} targets; wanted <target>.beta as `diffract scale` writes them for {settings.Dictionary.Folder}");
        }

        double[][] beta_TL = [.. targets.Select(t => betas.Doubles(t.Name + ".beta", latents.Length))];
        float[] max_L = settings.Maxima is { } file ? CodeMaxima.Read(file, crosscoder.Latents) : CodeMaxima.Of(codes, 0, codes.Rows, progress, stop);
        VerificationSums sums = new(codes, raw, directions, latents, targets, beta_TL, max_L, Edges(settings));
        Matrix recon_BE = backend.Matrix(LooseCodes.BatchRows, codes.Input.PairOffsets[^1]);
        using IBuffer recon = recon_BE.Buffer;
        codes.ForEach(0, codes.Rows, whole: true, (row, acts_BE, code) =>
        {
            Matrix part_BE = crosscoder.Config.Sae ? acts_BE : recon_BE.SliceRows(0, acts_BE.Rows);
            if (!crosscoder.Config.Sae)
            {
                crosscoder.Decode(code, part_BE);
            }

            sums.Add(acts_BE, part_BE, code);
            progress.Report("verify", row + acts_BE.Rows, codes.Rows, "rows");
        }, stop);
        JsonObject json = new()
        {
            ["tokens"] = codes.Rows,
            ["latents"] = new JsonArray([.. latents.Select(j => (JsonNode)j)]),
            ["edges"] = new JsonArray([.. Edges(settings).Select(e => (JsonNode)e)]),
            ["units"] = "squared lengths, summed over the width, mean over tokens; variances over tokens; NaN where a latent has no beta or a bucket no token",
        };
        foreach ((int t, string name) in targets.Select((t, i) => (i, t.Name)))
        {
            json[name] = sums.ToJson(t);
        }

        AtomicFile.WriteText(settings.Out, json.ToJsonString(Provenance.Json) + "\n");
        progress.Done("verify", FormattableString.Invariant(
            $"{targets.Length} targets of {latents.Length} latents over {codes.Rows} tokens, {beta_TL[0].Count(double.IsNaN)} without a beta; {sums.Better(0, targets.Length):P0} of the others explain more than nothing; {settings.Out}"));
    }

    /// <summary>Upper ends of the buckets but the last: the noise, where it is asked for, then i/n.</summary>
    static double[] Edges(LooseVerificationSettings settings)
    {
        IEnumerable<double> parts = Enumerable.Range(1, settings.Buckets - 1).Select(i => (double)i / settings.Buckets).Where(e => e > settings.Noise);
        return [.. settings.Noise > 0 ? parts.Prepend(settings.Noise) : parts];
    }

    static int[] Latents(SafetensorsFile betas, int latents)
    {
        int[] named = betas.Tensors.ContainsKey("latent_indices") ? [.. betas.Integers("latent_indices").Select(j => (int)j)] : [.. Enumerable.Range(0, latents)];
        int wrong = Array.FindIndex(named, j => j < 0 || j >= latents);
        return wrong < 0 ? named : throw new DiffractException($"{betas.FilePath} names latent {named[wrong]}; wanted 0 to {latents - 1}: it does not belong to this dictionary");
    }
}
