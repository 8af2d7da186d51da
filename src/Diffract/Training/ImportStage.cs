using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Crosscoders;
using Diffract.Formats.Hub;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>
/// Takes the place of training for a crosscoder that somebody else trained: the folder is checked against the run's activations (models, widths), validated on held-out tokens and copied to
/// <c>crosscoders/&lt;name&gt;/</c>, so that every later stage treats it as its own.
/// </summary>
public static class ImportStage
{
    /// <summary>The name that a folder gets in the run: its own.</summary>
    public static string NameOf(string folder) => HubName.Of(folder).Replace('/', '-');

    /// <param name="context">The run.</param>
    /// <param name="folder">The crosscoder's folder, in any published layout.</param>
    /// <param name="layer">Layer whose activations it is held against.</param>
    /// <param name="scale">What was said of the scale of the activations that it was trained on; the factors are kept in the copy.</param>
    public static void Run(StageContext context, string folder, LayerPair layer, InputScale scale)
    {
        string name = NameOf(folder), target = context.Run.Crosscoder(name);
        using TokenStore tokens = TokenStore.Open(context.Run);
        using ActivationStore store = ActivationStore.Open(context.Run, layer);
        using Crosscoder crosscoder = CrosscoderFolder.Load(folder, context.Backend);
        Check(folder, crosscoder, store.Widths, scale);
        StageManifest plan = new()
        {
            Stage = "train",
            Settings = new JsonObject
            {
                ["loaded"] = Path.GetFullPath(folder),
                ["seal"] = AtomicFile.Seal(FolderFiles.Find(folder).Weights).Xxh128,
                ["layer"] = layer,
                ["kind"] = crosscoder.Config.Kind.Name(),
                ["latents"] = crosscoder.Latents,
                ["k"] = crosscoder.Config.Kind == CrosscoderKind.BatchTopK ? crosscoder.Config.K : null,
                ["codeNorm"] = CodeNormIds.Name(crosscoder.Config.CodeNorm.Kind),
                ["validationTokens"] = Preset.Demo.ValidationTokens,
            },
            Inputs =
            {
                [context.Run.Relative(context.Run.Tokens)] = tokens.Manifest.Fingerprint(),
                [context.Run.Relative(context.Run.Activations(layer))] = store.Manifest.Fingerprint(),
            },
        };
        if (scale.Text is not null)
        {
            plan.Settings["inputScale"] = scale.Text;
        }

        if (context.AlreadyDone(target, plan))
        {
            context.Progress.Done("train", $"crosscoder {name} is there already");
            return;
        }

        long validationTokens = Preset.Demo.ValidationTokens;
        HeldOutRows heldOut = new(store, tokens, validationTokens);
        InputScaling scaling = InputScaling.Apply(crosscoder, folder, scale, new ShuffledBatches(store, tokens, seed: 0), heldOut, "train", context.Progress, context.Stop);
        ValidationResult result = new Validation(heldOut, validationTokens).Run(crosscoder, context.Stop);
        JsonObject facts = result.ToJson();
        facts["threshold"] = crosscoder.Config.Kind == CrosscoderKind.BatchTopK ? crosscoder.Threshold : null;
        if (scaling.Factors is { } factors)
        {
            facts["inputScale"] = new JsonArray([.. factors.Select(s => (JsonNode)s)]);
            facts["inputScaleEstimated"] = scaling.Estimated;
        }

        if (!double.IsNaN(scaling.With))
        {
            facts["fveScaled"] = scaling.With;
            facts["fveUnscaled"] = scaling.Without;
        }

        context.Finish(target, plan with { Outputs = CrosscoderFolder.Save(target, crosscoder), Facts = facts });
        context.Progress.Done("train", string.Create(
            CultureInfo.InvariantCulture,
            $"{name}: loaded from {folder}, not trained; on {result.Tokens:N0} held-out tokens variance explained {result.FvePooled:F3}, L0 {result.L0:F1}, dead {result.DeadShare:P1}"));
    }

    /// <summary>Refuses a crosscoder of other models, so that a run need not harvest to find out.</summary>
    /// <param name="folder">Where it lies, for the message.</param>
    /// <param name="crosscoder">The crosscoder.</param>
    /// <param name="widths">Width of each model of the run.</param>
    /// <param name="scale">What was said of its input scale.</param>
    public static void Check(string folder, Crosscoder crosscoder, IReadOnlyList<int> widths, InputScale scale)
    {
        InputScaling.Check(crosscoder, folder, scale);
        if (crosscoder.Models != widths.Count)
        {
            throw new DiffractException($"crosscoder {folder} has {crosscoder.Models} models, the run has {widths.Count}; choose one that was trained on a pair");
        }

        if (!crosscoder.Config.Widths.SequenceEqual(widths))
        {
            throw new DiffractException(
                $"crosscoder {folder} has the widths {string.Join(" + ", crosscoder.Config.Widths)}, the run's models {string.Join(" + ", widths)}; choose one that was trained on these models");
        }
    }
}
