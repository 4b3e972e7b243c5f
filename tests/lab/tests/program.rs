//! A program in a process of its own.

use mesh_lab::{Error, Program};

fn shell(script: &str) -> Result<Program, Error> {
    Program::start("/bin/sh", ["-c", script], [("COLOUR", "blue")])
}

#[tokio::test]
async fn it_has_its_variables_and_what_it_says_is_heard() -> Result<(), Error> {
    let program = shell("echo noise; echo \"colour: $COLOUR\"; sleep 600")?;
    assert_eq!(program.says("colour: ").await?, "blue");
    program.kill()?;
    assert!(!program.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn it_is_asked_to_end() -> Result<(), Error> {
    let program = shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done")?;
    program.says("up").await?;
    program.terminate()?;
    assert_eq!(program.ended().await?.code(), Some(3));
    program.says("bye").await?;
    Ok(())
}

#[tokio::test]
async fn an_end_without_the_word_is_an_error_that_has_the_output() -> Result<(), Error> {
    let program = shell("echo something else")?;
    let error = program.says("up").await.expect_err("it never says it");
    assert!(error.to_string().contains("something else"), "{error}");
    Ok(())
}
