using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;

namespace Diffract.Planted;

/// <summary>
/// Holds the claims of a planted run's crosscoders against its truth: <c>scores/&lt;name&gt;.json</c> and <c>.csv</c>, and <c>scores/scores.md</c> for all of them. Made anew each time; nothing later reads it.
/// </summary>
public static class ScoreStage
{
    public const string TableFile = "scores.md";

    /// <exception cref="DiffractException">No truth, no crosscoder, or one whose `latents` or `scale` is missing.</exception>
    /// <returns>The scores, in the order of the names.</returns>
    public static IReadOnlyList<CrosscoderScore> Run(StageContext context, IReadOnlyList<string> names)
    {
        RunFolder run = context.Run;
        using TruthFolder truth = TruthFolder.Open(run);
        IReadOnlyList<string> chosen = names.Count > 0 ? names : run.Names("crosscoders");
        if (chosen.Count == 0)
        {
            throw new DiffractException($"{run.Root} has no trained crosscoder; run `diffract train {run.Root}`, `latents` and `scale` first");
        }

        List<CrosscoderScore> scores = [];
        foreach (string name in chosen)
        {
            CrosscoderScore score = Score(context, truth, name);
            AtomicFile.WriteText(Path.Combine(run.Scores, name + ".json"), ToJson(score).ToJsonString(Provenance.Json) + "\n");
            AtomicFile.WriteText(Path.Combine(run.Scores, name + ".csv"), ToCsv(score));
            scores.Add(score);
        }

        AtomicFile.WriteText(Path.Combine(run.Scores, TableFile), ScoreTable.Markdown([scores]));
        return scores;
    }

    static CrosscoderScore Score(StageContext context, TruthFolder truth, string name)
    {
        RunFolder run = context.Run;
        LatentTable latents = LatentTable.Open(run, name);
        ScalingTable scaling = ScalingTable.Open(run, name);
        using ScanInputs inputs = ScanInputs.Open(run, name, context.Backend);
        using LatentActivations codes = LatentActivations.Open(run, name);
        LatentMatching matching = LatentMatching.Of(truth.Directions, inputs.Crosscoder.WDec_LE, truth.Codes, codes);
        (double Error, double Reconstruction)[] mirrored = MirroredScaling.Of(inputs, context.Backend, context.Stop);
        LearnedLatent[] learned = [.. latents.Rows.Select(l => new LearnedLatent(
            l.Latent, matching.OfLearned[l.Latent], l.Rate, l.Dead, l.DeltaNorm, scaling.Rows[l.Latent].CountActive,
            scaling.Rows[l.Latent].NuError, scaling.Rows[l.Latent].NuReconstruction, mirrored[l.Latent].Error, mirrored[l.Latent].Reconstruction,
            inputs.Crosscoder.Config.Partitioned ? LatentClasses.Designated(inputs.Crosscoder.Config.DesignatedModel(l.Latent)) : null))];
        double Fact(string key) => (double?)inputs.Manifest.Facts[key] ?? double.NaN;
        return new CrosscoderScore(name, truth.Latents, matching, learned, new CrosscoderFacts(Fact("fvePooled"), Fact("l0"), Fact("deadShare")));
    }

    static JsonObject ToJson(CrosscoderScore score)
    {
        JsonArray claims = [];
        foreach (ClaimRule rule in Claims.All)
        {
            foreach (RateBin bin in RateBin.All)
            {
                ClaimScore s = score.Of(rule, bin);
                claims.Add((JsonNode)new JsonObject
                {
                    ["claim"] = Claims.Name(rule),
                    ["rates"] = bin.Name,
                    ["claimed"] = s.Claimed,
                    ["right"] = s.Right,
                    ["truths"] = s.Truths,
                    ["precision"] = Number(s.Precision),
                    ["recall"] = Number(s.Recall),
                    ["f1"] = Number(s.F1),
                    ["wrong"] = Counts(score.Wrong(rule, bin)),
                    ["missed"] = Counts(score.Missed(rule, bin)),
                });
            }
        }

        return new JsonObject
        {
            ["crosscoder"] = score.Name,
            ["explained"] = Number(score.Facts.Explained),
            ["l0"] = Number(score.Facts.L0),
            ["deadShare"] = Number(score.Facts.DeadShare),
            ["leastCosine"] = LatentMatching.LeastCosine,
            ["leastCoactivation"] = LatentMatching.LeastCoactivation,
            ["leastContained"] = LatentMatching.LeastContained,
            ["matched"] = new JsonObject(TruthClasses.All.Select(c =>
            {
                (int matched, int all) = score.Matched(c, RateBin.Everything);
                return KeyValuePair.Create<string, JsonNode?>(TruthClasses.Name(c), new JsonObject { ["matched"] = matched, ["truths"] = all });
            })),
            ["verdictsOfNormClaims"] = new JsonObject(score.VerdictsOfNormClaims(RateBin.Everything).OrderBy(p => p.Key.What, StringComparer.Ordinal).ThenBy(p => p.Key.Verdict)
                .Select(p => KeyValuePair.Create<string, JsonNode?>($"{p.Key.What}, {Verdicts.Name(p.Key.Verdict)}", p.Value))),
            ["claims"] = claims,
        };

        static JsonNode? Number(double value) => double.IsFinite(value) ? value : null;
        static JsonObject Counts(Dictionary<string, int> counts) => new(counts.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => KeyValuePair.Create<string, JsonNode?>(p.Key, p.Value)));
    }

    /// <summary>A row a learned latent.</summary>
    static string ToCsv(CrosscoderScore score)
    {
        StringBuilder text = new("latent,truth,class,truth_rate,assigned,part,cosine,coactivation,rate,dead,delta_norm,count_active,nu_error,nu_reconstruction,base_nu_error,base_nu_reconstruction,claims\n");
        foreach (LearnedLatent l in score.Learned)
        {
            TruthLatent? truth = l.Match.Truth < 0 ? null : score.Truth[l.Match.Truth];
            text.Append(CultureInfo.InvariantCulture, $"{l.Latent},{l.Match.Truth},{(truth is null ? "" : TruthClasses.Name(truth.Class))},{truth?.Rate},{l.Match.Assigned},{l.Match.Part},");
            text.AppendJoin(',', new[] { l.Match.Cosine, l.Match.Coactivation, l.Rate }.Select(CsvNumbers.Write));
            text.Append(CultureInfo.InvariantCulture, $",{l.Dead},{CsvNumbers.Write(l.DeltaNorm)},{l.CountActive},");
            text.AppendJoin(',', new[] { l.NuError, l.NuReconstruction, l.BaseNuError, l.BaseNuReconstruction }.Select(CsvNumbers.Write));
            text.Append(',').AppendJoin("; ", Claims.All.Where(rule => Claims.Holds(rule, l)).Select(Claims.Name)).Append('\n');
        }

        return text.ToString();
    }
}
