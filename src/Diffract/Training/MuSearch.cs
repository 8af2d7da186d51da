using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// Finds the mu at which an L1 training ends with so many active latents per token: short trainings from the same first weights on the same batches, a bracket by factors of four and then
/// bisection in log mu. What is measured is the mean L0 over the last tenth of a trial's batches; a trial's warm-up and decay are the training's own, shrunk with its length.
/// </summary>
/// <param name="Mu">The mu of the nearest trial.</param>
/// <param name="Trials">Every trial in order.</param>
public sealed record MuSearch(double Mu, IReadOnlyList<(double Mu, double L0)> Trials)
{
    const double Near = 0.03;
    const int MostTrials = 12;
    const double Widen = 4;

    /// <summary>Steps of a trial where nothing is said: half of the training, at least 100.</summary>
    public static long DefaultSteps(long steps) => Math.Min(steps, Math.Max(100, steps / 2));

    /// <param name="what">What progress calls the training.</param>
    /// <param name="config">The training; its mu is the first that is tried.</param>
    /// <param name="target">Active latents per token that are wanted.</param>
    /// <param name="steps">Steps of a trial.</param>
    /// <param name="source">The training's batches.</param>
    /// <param name="first">Makes the first weights.</param>
    /// <param name="progress">Told every trial.</param>
    /// <param name="stop">Stops between two steps.</param>
    public static MuSearch Run(
        string what, TrainingConfig config, double target, long steps, IBatchSource source, Func<Crosscoder> first, IProgressSink progress, CancellationToken stop)
    {
        if (config.Crosscoder.Kind == CrosscoderKind.BatchTopK)
        {
            throw DiffractException.Argument("--target-l0 belongs to kinds with a mu; BatchTopK has --k");
        }

        if (!(target > 0 && target < config.Crosscoder.Latents))
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--target-l0 {target} does not fit; wanted above 0 and below the {config.Crosscoder.Latents} latents"));
        }

        if (steps < 1 || steps > config.Steps)
        {
            throw DiffractException.Argument($"--search-steps {steps} does not fit; wanted 1 to the {config.Steps} steps of the training");
        }

        List<(double Mu, double L0)> trials = [];
        double below = 0, above = double.PositiveInfinity;
        double mu = config.Mu > 0 ? config.Mu : new TrainingConfig { Crosscoder = config.Crosscoder, Steps = 1 }.Mu;
        while (trials.Count < MostTrials)
        {
            double l0 = Trial(Shrunk(config, steps) with { Mu = mu }, source, first, stop);
            trials.Add((mu, l0));
            progress.Line(FormattableString.Invariant($"{what}: trial {trials.Count} of {steps} steps, mu {mu:G4}: L0 {l0:F1}, wanted {target:G4}"));
            if (Math.Abs(l0 / target - 1) <= Near)
            {
                break;
            }

            // A larger mu leaves fewer active.
            (below, above) = l0 > target ? (mu, above) : (below, mu);
            mu = below == 0 ? above / Widen : double.IsInfinity(above) ? below * Widen : Math.Sqrt(below * above);
        }

        (double chosen, double got) = trials.MinBy(t => Math.Abs(Math.Log(Math.Max(t.L0, 1e-9) / target)));
        progress.Line(FormattableString.Invariant($"{what}: mu {chosen:G4} chosen, L0 {got:F1} after {steps} steps of a trial"));
        if (Math.Abs(got / target - 1) > 5 * Near)
        {
            progress.Warn(FormattableString.Invariant($"{what}: no mu of {trials.Count} trials came nearer to {target:G4} active latents than {got:F1}"));
        }

        return new MuSearch(chosen, trials);
    }

    /// <summary>As a manifest records the trials.</summary>
    public JsonArray ToJson() => new([.. Trials.Select(t => (JsonNode)new JsonObject { ["mu"] = t.Mu, ["l0"] = t.L0 })]);

    static TrainingConfig Shrunk(TrainingConfig config, long steps)
    {
        double share = (double)steps / config.Steps;
        long warmup = (long)(config.Warmup * share);
        long? decay = config.DecayStart is { } start && (long)(start * share) > warmup ? (long)(start * share) : null;
        return config with { Steps = steps, Warmup = warmup, DecayStart = decay };
    }

    static double Trial(TrainingConfig config, IBatchSource source, Func<Crosscoder> first, CancellationToken stop)
    {
        using Crosscoder crosscoder = first();
        using Trainer trainer = new(config, crosscoder, source);
        Matrix acts_BE = trainer.NewBatch();
        using IBuffer owner = acts_BE.Buffer;
        long tail = Math.Max(1, config.Steps / 10);
        double sum = 0;
        while (!trainer.Finished)
        {
            stop.ThrowIfCancellationRequested();
            source.Fill(trainer.State.Step, acts_BE);
            StepRecord record = trainer.Step(acts_BE, null);
            sum += trainer.State.Step > config.Steps - tail ? record.L0 : 0;
        }

        return sum / tail;
    }
}
