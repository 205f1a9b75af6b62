//! A JVM inside a program that is not java: `embed LIBJVM CLASSPATH [key=value...]` runs `Heap.main`.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use jni::objects::{JObjectArray, JString};
use jni::{Env, InitArgsBuilder, JavaVM, jni_sig, jni_str};

fn main() -> ExitCode {
    if let Err(error) = run() {
        eprintln!("embed: {error}");
    }
    // Heap.main ends the process itself.
    ExitCode::FAILURE
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(libjvm), Some(class_path)) = (args.next(), args.next()) else {
        return Err("usage: embed LIBJVM CLASSPATH [key=value...]".into());
    };
    let options = InitArgsBuilder::new().option(format!("-Djava.class.path={class_path}")).build()?;
    let vm = JavaVM::with_libjvm(options, || Ok(libjvm))?;
    let values: Vec<String> = args.collect();
    vm.attach_current_thread(|env| {
        let result = heap_main(env, &values);
        if env.exception_check() {
            env.exception_describe();
        }
        result
    })?;
    Ok(())
}

fn heap_main(env: &mut Env, values: &[String]) -> jni::errors::Result<()> {
    let args = JObjectArray::<JString>::new(env, values.len(), JString::null())?;
    for (index, value) in values.iter().enumerate() {
        let value = JString::from_str(env, value)?;
        args.set_element(env, index, value)?;
    }
    let main = jni_sig!("([Ljava/lang/String;)V");
    env.call_static_method(jni_str!("Heap"), jni_str!("main"), main, &[(&args).into()])?;
    Ok(())
}
