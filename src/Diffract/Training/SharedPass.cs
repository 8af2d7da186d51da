using System.Diagnostics;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// The loop of every training: one pass over the activations feeds all members. A batch is read once for those that read the same source and are at its step;
/// who is further on, since an earlier call got that far, waits until the others have come up.
/// </summary>
public static class SharedPass
{
    const int ReportEvery = 10;

    /// <summary>Trains until all members have finished; stops between two steps.</summary>
    /// <param name="members">Trainings of equal batch size. Members with the same source see the same batches.</param>
    /// <param name="what">What progress calls the pass.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="stream">Where the batches are made on the way; told what to say while the pass waits for it. Null: they are read.</param>
    /// <param name="stop">Set by Ctrl-C.</param>
    /// <exception cref="OperationCanceledException">Stopped; each unfinished member has written a checkpoint where it has a place for them.</exception>
    /// <exception cref="DiffractException">A member failed. The others went on and have finished.</exception>
    public static void Run(IReadOnlyList<Member> members, string what, IProgressSink progress, LiveActivations? stream, CancellationToken stop)
    {
        using Batches batches = new(members);
        List<Member> active = [.. members.Where(m => !m.Trainer.Finished)];
        foreach (Member member in members.Where(m => m.Trainer.Finished))
        {
            member.Done?.Invoke();
        }

        DiffractException? failure = null;
        long step = 0;
        if (stream is not null)
        {
            stream.Waiting = (done, all) => progress.Report(what, step, members.Max(m => m.Trainer.Steps), "steps", FormattableString.Invariant($"the next window has {done:N0} of {all:N0} tokens"));
        }

        while (active.Count > 0)
        {
            if (stop.IsCancellationRequested)
            {
                active.ForEach(m => m.Trainer.Save(m.Outputs));
                throw new OperationCanceledException(stop);
            }

            step = Lowest(active);
            batches.Forget();
            StepRecord record = default;
            for (int i = active.Count - 1; i >= 0; i--)
            {
                Member member = active[i];
                if (member.Trainer.State.Step != step)
                {
                    continue;
                }

                try
                {
                    record = member.Step(batches.Of(member, step));
                    if (member.Trainer.Finished)
                    {
                        active.RemoveAt(i);
                        member.Done?.Invoke();
                    }
                }
                catch (DiffractException e) when (members.Count > 1)
                {
                    // The others lose nothing by it; this one has its last checkpoint.
                    progress.Warn($"{member.Outputs.What} stops: {e.Message}");
                    failure ??= e;
                    active.Remove(member);
                }
                catch (OperationCanceledException)
                {
                    // A stream was stopped while it made the batch.
                    active.ForEach(m => m.Trainer.Save(m.Outputs));
                    throw;
                }
            }

            if ((step + 1) % ReportEvery == 0 || active.Count == 0)
            {
                progress.Report(what, step + 1, members.Max(m => m.Trainer.Steps), "steps", FormattableString.Invariant($"loss {record.Loss:G4}, L0 {record.L0:F1}, dead {record.Dead}"));
            }
        }

        if (failure is not null)
        {
            throw failure;
        }
    }

    /// <summary>The same of batches that are read.</summary>
    public static void Run(IReadOnlyList<Member> members, string what, IProgressSink progress, CancellationToken stop = default) => Run(members, what, progress, null, stop);

    static long Lowest(List<Member> active)
    {
        long lowest = long.MaxValue;
        foreach (Member member in active)
        {
            lowest = Math.Min(lowest, member.Trainer.State.Step);
        }

        return lowest;
    }

    /// <summary>One training of a pass.</summary>
    /// <param name="trainer">The training.</param>
    /// <param name="source">What it reads; the same object for all that share batches.</param>
    /// <param name="outputs">Where it leaves what it finds.</param>
    public sealed class Member(Trainer trainer, IBatchSource source, TrainingOutputs outputs)
    {
        public Trainer Trainer { get; } = trainer;

        public IBatchSource Source { get; } = source;

        public TrainingOutputs Outputs { get; } = outputs;

        /// <summary>Called once, right after its last step: it need not wait for the others.</summary>
        public Action? Done { get; init; }

        /// <summary>Time in its own steps so far.</summary>
        public double Seconds { get; private set; }

        internal StepRecord Step(Matrix acts_BE)
        {
            long start = Stopwatch.GetTimestamp();
            StepRecord record = Trainer.Step(acts_BE, Outputs);
            Seconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
            return record;
        }
    }

    /// <summary>One batch in memory for each source.</summary>
    sealed class Batches : IDisposable
    {
        readonly Dictionary<IBatchSource, Matrix> _acts_BE = new(ReferenceEqualityComparer.Instance);
        readonly HashSet<IBatchSource> _filled = new(ReferenceEqualityComparer.Instance);

        public Batches(IReadOnlyList<Member> members)
        {
            foreach (Member member in members)
            {
                if (!_acts_BE.TryGetValue(member.Source, out Matrix there))
                {
                    _acts_BE[member.Source] = there = member.Trainer.NewBatch();
                }

                if (there.Rows != member.Trainer.BatchSize)
                {
                    throw DiffractException.Argument($"trainings of batches of {there.Rows} and {member.Trainer.BatchSize} tokens cannot share a pass; wanted one --batch for all");
                }
            }
        }

        public void Forget() => _filled.Clear();

        public Matrix Of(Member member, long step)
        {
            Matrix acts_BE = _acts_BE[member.Source];
            if (!_filled.Contains(member.Source))
            {
                member.Source.Fill(step, acts_BE);
                _filled.Add(member.Source);
            }

            return acts_BE;
        }

        public void Dispose()
        {
            foreach (Matrix acts_BE in _acts_BE.Values)
            {
                acts_BE.Buffer.Dispose();
            }
        }
    }
}
