using System.CommandLine;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Cli.Commands;

/// <summary>The options that every computing verb has, and the frame in which it runs: errors in one line, Ctrl-C as exit code 130.</summary>
sealed class CommonOptions
{
    public Option<string> Device { get; } = new("--device") { Description = "Where kernels run: auto, cpu or reference (slow oracle).", DefaultValueFactory = _ => "auto" };

    public Option<int?> Threads { get; } = new("--threads") { Description = "Worker threads; more than the processors of the affinity mask and the container's quota are not started. Default: as many as these." };

    public Option<string> Screening { get; } = new("--screening")
    {
        Description = "Look for active latents in 16-bit integers first: auto, on or off. Changes the speed only, not one bit of a result.",
        DefaultValueFactory = _ => "auto",
    };

    /// <summary>The option of the verbs that plan their memory; <see cref="MemoryBudget.Of"/> reads it.</summary>
    public static Option<double?> Memory() => new("--memory")
    {
        Description = "Most memory to plan for, in GiB: decides how the work is done and what is refused, never a result. Default: what the container allows and the system has free.",
    };

    /// <summary>The options of the verbs whose work several processes may share; <see cref="TaskShare.Parse"/> reads them.</summary>
    public static (Option<int?> Task, Option<int?> Of) Share(string unit) => (
        new("--task") { Description = $"Make only this task's share, from 0, of the {unit}: those whose number divided by --of leaves it. Whoever finds all of them published closes the stage. Default: make everything." },
        new("--of") { Description = "How many tasks there are; see docs/cluster.md. Default: no tasks." });

    /// <summary>Adds these options to <paramref name="command"/> and makes it run <paramref name="body"/>.</summary>
    public void Run(Command command, Action<ParseResult, IBackend, IProgressSink, CancellationToken> body)
    {
        command.Options.Add(Device);
        command.Options.Add(Threads);
        command.Options.Add(Screening);
        command.SetAction((parse, stop) => Task.Run(
            () => Guard(() =>
            {
                using IBackend backend = Backends.Create(parse.GetValue(Device)!, parse.GetValue(Threads), parse.GetValue(Screening)!);
                body(parse, backend, new ConsoleProgress(), stop);
            }),
            CancellationToken.None));
    }

    /// <summary>Like <see cref="Run"/>, for verbs that need no kernels.</summary>
    public static void RunWithout(Command command, Action<ParseResult, IProgressSink, CancellationToken> body)
        => command.SetAction((parse, stop) => Task.Run(() => Guard(() => body(parse, new ConsoleProgress(), stop)), CancellationToken.None));

    static int Guard(Action body)
    {
        try
        {
            body();
            return ExitCodes.Done;
        }
        catch (DiffractException e)
        {
            Console.Error.WriteLine("diffract: " + e.Message);
            return e.ExitCode;
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine("diffract: stopped; call the same command again to go on");
            return ExitCodes.Stopped;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine("diffract: " + e.Message);
            return ExitCodes.Failed;
        }
        catch (Exception e) when (Environment.GetEnvironmentVariable("DIFFRACT_TRACE") is null)
        {
            // A fault of the program, not of the user, who cannot do anything with a stack trace.
            Console.Error.WriteLine($"diffract: unexpected {e.GetType().Name} ({e.Message.Split('\n')[0].TrimEnd()}); what is finished is kept; DIFFRACT_TRACE=1 shows where, for a report of the fault");
            return ExitCodes.Failed;
        }
    }
}
